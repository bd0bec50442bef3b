package lcsim

import (
	"bytes"
	"net/http"
)

// serveFetch answers pyVmomi's way to read one attribute. For an unset property
// the library answers with another call's response, which clients cannot read;
// vCenter answers without a value.
func serveFetch(w http.ResponseWriter, r *http.Request, call request, next http.Handler) {
	held := &heldAnswer{header: w.Header(), status: http.StatusOK}
	next.ServeHTTP(held, r)
	has := func(text string) bool { return bytes.Contains(held.body.Bytes(), []byte(text)) }
	// The API's text on SessionManager.currentSession: null if not logged on.
	noSession := has("NotAuthenticatedFault") && bytes.Contains(call.body, []byte(">currentSession<"))
	if held.body.Len() == 0 || has("<RetrievePropertiesExResponse") || noSession {
		writeEnvelope(w, http.StatusOK, []byte(`<FetchResponse xmlns="urn:vim25"></FetchResponse>`))
		return
	}
	w.WriteHeader(held.status)
	_, _ = w.Write(held.body.Bytes())
}

// heldAnswer keeps an answer until it has been looked at.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header         { return h.header }
func (h *heldAnswer) WriteHeader(status int)      { h.status = status }
func (h *heldAnswer) Write(b []byte) (int, error) { return h.body.Write(b) }
