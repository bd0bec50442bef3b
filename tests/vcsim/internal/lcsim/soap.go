package lcsim

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"regexp"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// request is what the front needs to know of a SOAP call.
type request struct {
	method string
	this   types.ManagedObjectReference
	body   []byte
}

var (
	methodPattern = regexp.MustCompile(`<(?:[\w-]+:)?Body[^>]*>\s*<(?:[\w-]+:)?(\w+)`)
	thisPattern   = regexp.MustCompile(`<(?:[\w-]+:)?_this[^>]*?type="([^"]*)"[^>]*>([^<]*)<`)
	filePattern   = regexp.MustCompile(`<(?:[\w-]+:)?name[^>]*>([^<]*)<`)
	targetPattern = regexp.MustCompile(`<(?:[\w-]+:)?dest(?:ination)?Name[^>]*>([^<]*)<`)
	createPattern = regexp.MustCompile(`(?s)<(?:[\w-]+:)?config(?: [^>]*)?>.*?<(?:[\w-]+:)?name(?: [^>]*)?>([^<]*)<`)
	namePattern   = regexp.MustCompile(`</(?:[\w-]+:)?folder>\s*<(?:[\w-]+:)?name[^>]*>([^<]*)<`)
)

func parseRequest(body []byte) request {
	r := request{body: body}
	if m := methodPattern.FindSubmatch(body); m != nil {
		r.method = string(m[1])
	}
	if m := thisPattern.FindSubmatch(body); m != nil {
		r.this = types.ManagedObjectReference{Type: string(m[1]), Value: string(m[2])}
	}
	return r
}

// find returns what a pattern captures in the request.
func (r request) find(pattern *regexp.Regexp) string {
	if m := pattern.FindSubmatch(r.body); m != nil {
		return string(m[1])
	}
	return ""
}

const (
	envelopeStart = xml.Header + `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"` +
		` xmlns:xsd="http://www.w3.org/2001/XMLSchema"` +
		` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>`
	envelopeEnd = `</soapenv:Body></soapenv:Envelope>`
)

func writeEnvelope(w http.ResponseWriter, status int, content []byte) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(envelopeStart))
	_, _ = w.Write(content)
	_, _ = w.Write([]byte(envelopeEnd))
}

// writeFault answers a call with a fault.
func writeFault(w http.ResponseWriter, message string, fault types.BaseMethodFault) {
	var out bytes.Buffer
	out.WriteString(`<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>`)
	_ = xml.EscapeText(&out, []byte(message))
	out.WriteString(`</faultstring><detail>`)
	kind := reflect.TypeOf(fault).Elem().Name()
	e := xml.NewEncoder(&out)
	err := e.EncodeElement(fault, xml.StartElement{
		Name: xml.Name{Local: kind + "Fault"},
		Attr: []xml.Attr{
			{Name: xml.Name{Local: "xmlns"}, Value: "urn:vim25"},
			{Name: xml.Name{Local: "xsi:type"}, Value: kind},
		},
	})
	if err == nil {
		err = e.Flush()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out.WriteString(`</detail></soapenv:Fault>`)
	writeEnvelope(w, http.StatusInternalServerError, out.Bytes())
}

// writeTask answers a call with a reference to its task.
func writeTask(w http.ResponseWriter, method string, task types.ManagedObjectReference) {
	writeEnvelope(w, http.StatusOK, fmt.Appendf(nil,
		`<%[1]sResponse xmlns="urn:vim25"><returnval type="Task">%[2]s</returnval></%[1]sResponse>`,
		method, task.Value))
}
