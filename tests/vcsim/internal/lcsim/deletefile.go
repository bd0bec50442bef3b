package lcsim

import (
	"os"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const methodDeleteFile = "DeleteDatastoreFile_Task"

// fileMethods deletes files of our store; others are the library's.
type fileMethods struct {
	unlocked
	Self  types.ManagedObjectReference
	sim   *Sim
	stock *simulator.FileManager
}

// Reference implements mo.Reference.
func (m *fileMethods) Reference() types.ManagedObjectReference { return m.Self }

// DeleteDatastoreFileTask deletes the one file that it is given.
//
// Of a delta disk it takes neither the extent with the descriptor nor the
// parents [fact: vs-delete-file]. Which VM is registered
// does not matter to it; a running VM holds its files [fact: vs-file-locked].
func (m *fileMethods) DeleteDatastoreFileTask(
	ctx *simulator.Context, req *types.DeleteDatastoreFile_Task,
) soap.HasFault {
	run := func() types.BaseMethodFault {
		if id, kind := m.sim.fileOn(req.Datacenter, req.Name); kind != notOurs {
			return m.sim.deleteOne(id, kind)
		}
		return m.sim.deleteTree(req.Datacenter, req.Name)
	}
	return &methods.DeleteDatastoreFile_TaskBody{Res: &types.DeleteDatastoreFile_TaskResponse{
		Returnval: m.sim.startFileTask(ctx, methodDeleteFile, nil, run),
	}}
}

// deleteTree deletes a folder with all that lies in it, or a file of the
// library's. Disks in other folders that hang from there are not asked for.
func (s *Sim) deleteTree(dc *types.ManagedObjectReference, name string) types.BaseMethodFault {
	at, fault := s.placeOf(dc, name)
	if fault != nil {
		return fault
	}
	inside := s.disks.below(at)
	if _, err := os.Stat(s.realPath(at)); err != nil && len(inside) == 0 {
		return noFile(name)
	}
	for _, id := range inside {
		if s.runsOn(id) {
			return fileLocked(id.name)
		}
	}
	for _, id := range inside {
		s.deleteFile(id)
		s.forgetConfig(id)
	}
	_ = os.RemoveAll(s.realPath(at))
	return nil
}

// below lists the files of a folder and of those in it.
func (s *diskStore) below(folder fileID) []fileID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []fileID
	add := func(id fileID) {
		if id.datastore == folder.datastore && strings.HasPrefix(id.name, folder.name+"/") {
			out = append(out, id)
		}
	}
	for id := range s.files {
		add(id)
	}
	for id := range s.configs {
		add(id)
	}
	for id := range s.extents {
		add(id)
	}
	return out
}

// forgetConfig deletes a .vmx, and what it says of its VM.
func (s *Sim) forgetConfig(id fileID) {
	s.host.vms.Delete(id)
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	delete(s.disks.configs, id)
	delete(s.disks.extents, id)
}

type fileKind int

const (
	notOurs fileKind = iota
	descriptorFile
	extentFile
	looseExtent
	configFile
)

// fileOn finds a file of our store in a datacenter. For an extent the id is
// that of its descriptor.
func (s *Sim) fileOn(dc *types.ManagedObjectReference, name string) (fileID, fileKind) {
	here := map[string]bool{}
	for _, e := range s.registry().All("Datacenter") {
		if one, ok := e.(*simulator.Datacenter); ok && (dc == nil || one.Self == *dc) {
			for _, ds := range one.Datastore {
				here[ds.Value] = true
			}
		}
	}
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	for id, f := range s.disks.files {
		switch {
		case !here[id.datastore]:
		case id.name == name:
			return id, descriptorFile
		case !f.bare && extentOf(id, *f).name == name:
			return id, extentFile
		}
	}
	for id := range s.disks.extents {
		if id.name == name && here[id.datastore] {
			return id, looseExtent
		}
	}
	for id := range s.disks.configs {
		if id.name == name && here[id.datastore] {
			return id, configFile
		}
	}
	return fileID{}, notOurs
}

func (s *Sim) deleteOne(id fileID, kind fileKind) types.BaseMethodFault {
	if kind == extentFile && s.runsOn(id) {
		return &types.FileLocked{FileFault: types.FileFault{File: id.name}}
	}
	f, _ := s.disks.get(id)
	switch kind {
	case descriptorFile:
		s.deleteFile(id)
	case configFile:
		s.forgetConfig(id)
		_ = os.Remove(s.realPath(id))
	case extentFile:
		f.bare = true
		s.disks.put(id, f)
	}
	s.disks.mu.Lock()
	defer s.disks.mu.Unlock()
	switch kind {
	case descriptorFile:
		if !f.bare {
			s.disks.extents[extentOf(id, f)] = f.size
		}
	case looseExtent:
		delete(s.disks.extents, id)
	}
	return nil
}

// runsOn tells whether a running VM reads a file.
func (s *Sim) runsOn(id fileID) bool { return len(s.running(id)) > 0 }
