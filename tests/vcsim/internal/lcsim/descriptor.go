package lcsim

import (
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	folderPrefix = "/folder/"
	// [fact: vs-privileges]
	fileRight = "Datastore.FileManagement"
)

// serveFile answers /folder/PATH?dcPath=…&dsName=…: the library's way to a
// datastore's files asks for no session and knows nothing of our disks.
func (s *Sim) serveFile(w http.ResponseWriter, r *http.Request, next http.Handler) {
	switch {
	case !s.knows(r):
		http.Error(w, "no session", http.StatusUnauthorized)
	case !s.rights.has(fileRight):
		http.Error(w, "no privilege", http.StatusForbidden)
	default:
		s.calls.add(r.Method+" "+folderPrefix, types.ManagedObjectReference{}, []byte(r.URL.String()))
		s.delays.waitCall()
		if ds := s.datastoreAt(r); ds != nil && r.Method == http.MethodGet {
			name := "[" + ds.Name + "] " + strings.TrimPrefix(r.URL.Path, folderPrefix)
			if text, ok := s.textOf(fileID{ds.Self.Value, name}); ok {
				_, _ = w.Write([]byte(text))
				return
			}
		}
		next.ServeHTTP(w, r)
	}
}

// knows tells whether a request comes from a session, or with a ticket.
func (s *Sim) knows(r *http.Request) bool {
	if ticket, err := r.Cookie("vmware_cgi_ticket"); err == nil && ticket.Value != "" {
		return true
	}
	cookie, err := r.Cookie("vmware_soap_session")
	if err != nil {
		return false
	}
	for _, session := range s.sessions() {
		if session.Key == cookie.Value {
			return true
		}
	}
	return false
}

func (s *Sim) datastoreAt(r *http.Request) *simulator.Datastore {
	ctx := s.context()
	at, name := strings.Trim(r.URL.Query().Get("dcPath"), "/"), r.URL.Query().Get("dsName")
	for _, e := range s.registry().All("Datacenter") {
		dc, ok := e.(*simulator.Datacenter)
		if ok && (at == "" || path.Base(at) == dc.Name) {
			ds, _ := ctx.Map.FindByName(name, dc.Datastore).(*simulator.Datastore)
			return ds
		}
	}
	return nil
}

// textOf returns the content of a descriptor or a .vmx.
//
// parentFileNameHint is a bare name in the same folder, else an absolute path
// below /vmfs/volumes with the volume's own name [fact: vs-descriptor-parent]. A native clone's has none.
func (s *Sim) textOf(id fileID) (string, bool) {
	s.disks.mu.Lock()
	isConfig := s.disks.configs[id]
	s.disks.mu.Unlock()
	if isConfig {
		return ".encoding = \"UTF-8\"\n", true
	}
	f, ok := s.disks.get(id)
	if !ok {
		return "", false
	}
	kind, extent, parent := "vmfs", "VMFS", ""
	if f.parent.name != "" {
		kind, extent = "vmfsSparse", "VMFSSPARSE"
		hint := path.Base(f.parent.name)
		if f.parent.datastore != id.datastore || f.parent.folder() != id.folder() {
			hint = s.volumePath(f.parent)
		}
		parent = fmt.Sprintf("parentFileNameHint=\"%s\"\n", hint)
	}
	return fmt.Sprintf("# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID=ffffffff\n"+
		"isNativeSnapshot=\"no\"\ncreateType=\"%s\"\n%s# Extent description\nRW %d %s \"%s\"\n\n"+
		"# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n",
		kind, parent, f.capacity/512, extent, path.Base(extentOf(id, f).name)), true
}

// volumePath is where a host sees a file.
func (s *Sim) volumePath(id fileID) string {
	volume := parsePath(id.name).Datastore
	if ds, ok := s.registry().Get(ref{Type: "Datastore", Value: id.datastore}).(*simulator.Datastore); ok {
		volume = path.Base(ds.Summary.Url)
	}
	return "/vmfs/volumes/" + volume + "/" + parsePath(id.name).Path
}
