package lcsim

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// front stands before the library's HTTP handler.
func (s *Sim) front(next http.Handler) http.Handler {
	control := s.controlHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, controlPrefix):
			if !s.opt.Control {
				http.NotFound(w, r)
				return
			}
			control.ServeHTTP(w, r)
		case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/sdk"):
			s.serveSOAP(w, r, next)
		case strings.HasPrefix(r.URL.Path, folderPrefix):
			s.serveFile(w, r, next)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Sim) serveSOAP(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call := parseRequest(body)
	s.calls.add(call.method, call.this, body)
	s.delays.waitCall()

	drop, dropping := s.drops.take(call.method)
	if dropping && !drop.After {
		panic(http.ErrAbortHandler) // closes the connection unanswered
	}
	if dropping {
		s.answer(discard{http.Header{}}, r, call, next)
		panic(http.ErrAbortHandler)
	}
	s.answer(w, r, call, next)
}

func (s *Sim) answer(w http.ResponseWriter, r *http.Request, call request, next http.Handler) {
	name := func() string { return s.subject(call) }
	if rule := s.faults.take(call.method, atCall, name); rule != nil {
		writeFault(w, faultMessage(rule.built), rule.built)
		return
	}
	fault := s.rights.refuse(call)
	if fault == nil {
		fault = s.host.refuse(call)
	}
	if fault != nil {
		writeFault(w, faultMessage(fault), fault)
		return
	}
	// A clone asks for its own rules: it may have to leave something behind. A
	// check tells of a fault instead of failing with it.
	own := call.method == methodClone || call.method == methodCheckClone ||
		call.method == methodCreate && s.host.lone
	if strings.HasSuffix(call.method, "_Task") && !own {
		if rule := s.faults.take(call.method, atTask, name); rule != nil {
			s.failTask(w, call, rule)
			return
		}
	}
	if call.method == "Fetch" {
		serveFetch(w, r, call, next)
		return
	}
	next.ServeHTTP(w, r)
}

// failTask starts a task that does nothing but fail.
func (s *Sim) failTask(w http.ResponseWriter, call request, rule *faultRule) {
	entity, ok := s.registry().Get(s.taskEntity(call.this)).(mo.Entity)
	if !ok {
		fault := &types.ManagedObjectNotFound{Obj: call.this}
		writeFault(w, faultMessage(fault), fault)
		return
	}
	ctx := s.context()
	task := s.startTask(ctx, work{
		method: call.method,
		id:     descriptionID(call.method),
		entity: entity,
		run: func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
			return nil, rule.built
		},
	})
	writeTask(w, call.method, task)
}

// taskEntity is the object a task about ref is filed under.
func (s *Sim) taskEntity(ref types.ManagedObjectReference) types.ManagedObjectReference {
	if snap := s.snapshot(ref); snap != nil {
		return snap.Vm
	}
	switch ref.Type {
	case "HostDatastoreBrowser":
		if ds := s.browsedBy(ref); ds != nil {
			return ds.Self
		}
	case "FileManager", "VirtualDiskManager":
		return s.registry().Any("Datacenter").Reference()
	}
	return ref
}

// subject is the name that fault rules match.
func (s *Sim) subject(call request) string {
	switch call.method {
	case methodClone:
		return call.find(namePattern)
	case methodCreate:
		return call.find(createPattern)
	case methodDeleteFile, methodDeleteDisk, methodExtendDisk, "MakeDirectory":
		return call.find(filePattern)
	case methodCopyDisk, methodCopyFile:
		return call.find(targetPattern)
	}
	if e, ok := s.registry().Get(s.taskEntity(call.this)).(mo.Entity); ok {
		return e.Entity().Name
	}
	return ""
}

// context is for work that no client's session stands behind.
func (s *Sim) context() *simulator.Context {
	return s.model.Service.Context.For(vim25.Path)
}

// discard is the answer that a dropped connection never carries.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
