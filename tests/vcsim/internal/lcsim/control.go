package lcsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// controlPrefix is where tests steer the simulator. It exists with
// Options.Control only.
const controlPrefix = "/_test/"

// controlHandler is the test-only API: plain JSON, no login.
func (s *Sim) controlHandler() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, f func(*http.Request) any) {
		mux.HandleFunc("GET "+controlPrefix+path, func(w http.ResponseWriter, r *http.Request) { reply(w, f(r)) })
	}
	get("calls", func(*http.Request) any { return s.calls.totals() })
	get("log", func(*http.Request) any { return s.calls.entries() })
	get("requests", func(r *http.Request) any {
		bodies := s.calls.requests(r.URL.Query().Get("method"))
		if n, err := strconv.Atoi(r.URL.Query().Get("n")); err == nil && n < len(bodies) {
			bodies = bodies[len(bodies)-n:]
		}
		return bodies
	})
	get("files", func(*http.Request) any { return s.disks.list() })

	accept(mux, "POST", "calls/reset", func(struct{}) error { s.calls.reset(); return nil })
	accept(mux, "POST", "faults", s.faults.add)
	accept(mux, "DELETE", "faults", func(struct{}) error { s.faults.clear(); return nil })
	accept(mux, "POST", "delays", func(d delays) error { s.delays.set(d.CallMS, d.TaskMS); return nil })
	accept(mux, "POST", "clone-mode", func(m cloneMode) error { return s.modes.set(m.Mode, m.Count) })
	accept(mux, "POST", "drop", func(r dropRule) error { s.drops.add(r); return nil })
	accept(mux, "DELETE", "drop", func(struct{}) error { s.drops.clear(); return nil })
	accept(mux, "POST", "privileges", func(p privileges) error { s.rights.set(p.Missing); return nil })
	accept(mux, "POST", "guest", func(t guestTiming) error { s.guests.set(t); return nil })
	accept(mux, "POST", "guest/cards", s.setGuestCards)
	accept(mux, "POST", "guest/customization", s.guestRules.add)
	accept(mux, "DELETE", "guest/customization", func(struct{}) error { s.guestRules.clear(); return nil })
	accept(mux, "POST", "guest/shutdown", s.life.setGuest)
	accept(mux, "POST", "guest/login", s.commands.admit)
	accept(mux, "POST", "guest/command", s.commands.add)
	accept(mux, "POST", "fork", s.setFork)
	accept(mux, "POST", "fork/identity", s.forks.addGuest)
	accept(mux, "POST", "drs", s.life.setDRS)
	accept(mux, "POST", "template", func(t named) error { return s.markTemplate(s.context(), t.Name) })
	accept(mux, "POST", "datastore", s.shapeDatastore)
	accept(mux, "POST", "host", s.shapeHost)
	accept(mux, "POST", "esx", s.setHost)
	accept(mux, "POST", "files/remove", func(t named) error { return s.loseFile(t.Name) })
	accept(mux, "POST", "files/grow", func(g growth) error { return s.growFile(g.Name, g.Bytes) })
	accept(mux, "POST", "hosts/unmount", func(m mount) error { return s.unmount(m.Host, m.Datastore) })
	answer(mux, "files/orphan", func(t named) (any, error) {
		file, err := s.leaveOrphan(t.Name)
		return map[string]string{"file": file}, err
	})
	accept(mux, "POST", "sessions/terminate", func(struct{}) error { s.terminateSessions(); return nil })
	accept(mux, "POST", "reset", func(struct{}) error { s.resetControl(); return nil })
	return mux
}

type (
	delays struct {
		CallMS int            `json:"call_ms"`
		TaskMS map[string]int `json:"task_ms"`
	}
	cloneMode struct {
		Mode  string `json:"mode"`
		Count int    `json:"count"`
	}
	privileges struct {
		Missing []string `json:"missing"`
	}
	named struct {
		Name string `json:"name"`
	}
	mount struct {
		Host      string `json:"host"`
		Datastore string `json:"datastore"`
	}
	growth struct {
		Name  string `json:"name"`
		Bytes int64  `json:"bytes"`
	}
)

// resetControl takes back all that tests have set; the inventory stays.
func (s *Sim) resetControl() {
	s.calls.reset()
	s.faults.clear()
	s.drops.clear()
	s.rights.set(nil)
	s.guests.set(guestTiming{})
	s.guestRules.clear()
	s.life.clear()
	s.commands.clear()
	s.forks.clear()
	s.clearHost()
	s.delays.set(s.opt.CallDelayMS, s.opt.TaskDelayMS)
	_ = s.modes.set("", 0)
}

// accept decodes a JSON body, refusing unknown keys, and hands it to f.
func accept[T any](mux *http.ServeMux, method, path string, f func(T) error) {
	handle(mux, method, path, func(in T) (any, error) { return map[string]bool{"ok": true}, f(in) })
}

// answer is accept for a POST that has more to say than that it is done.
func answer[T any](mux *http.ServeMux, path string, f func(T) (any, error)) {
	handle(mux, "POST", path, f)
}

func handle[T any](mux *http.ServeMux, method, path string, f func(T) (any, error)) {
	mux.HandleFunc(method+" "+controlPrefix+path, func(w http.ResponseWriter, r *http.Request) {
		var in T
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if r.ContentLength != 0 {
			if err := decoder.Decode(&in); err != nil {
				refuse(w, err)
				return
			}
		}
		out, err := f(in)
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, out)
	})
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// loseFile makes a disk file vanish behind vCenter's back.
func (s *Sim) loseFile(name string) error {
	id, err := s.fileNamed(name)
	if err == nil {
		s.deleteFile(id)
	}
	return err
}

// growFile writes to a disk, so to say.
func (s *Sim) growFile(name string, bytes int64) error {
	id, err := s.fileNamed(name)
	if err == nil {
		s.disks.grow(id, bytes)
	}
	return err
}

func (s *Sim) fileNamed(name string) (fileID, error) {
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	for id := range s.disks.files {
		if id.name == name {
			return id, nil
		}
	}
	return fileID{}, fmt.Errorf("no file %q", name)
}
