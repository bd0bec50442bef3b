package lcsim

import (
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
	id, kind := m.sim.fileOn(req.Datacenter, req.Name)
	if kind == notOurs {
		return m.stock.DeleteDatastoreFileTask(ctx, req)
	}
	dc := m.sim.registry().Any("Datacenter")
	return &methods.DeleteDatastoreFile_TaskBody{Res: &types.DeleteDatastoreFile_TaskResponse{
		Returnval: m.sim.startTask(ctx, work{
			method: methodDeleteFile, id: descriptionID(methodDeleteFile), entity: dc,
			run: func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
				return nil, m.sim.deleteOne(id, kind)
			},
		}),
	}}
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
	case configFile:
		delete(s.disks.configs, id)
	}
	return nil
}

// runsOn tells whether a running VM reads a file.
func (s *Sim) runsOn(id fileID) bool {
	s.disks.mu.Lock()
	var readers []types.ManagedObjectReference
	for vm, uses := range s.disks.uses {
		if uses[id] {
			readers = append(readers, vm)
		}
	}
	s.disks.mu.Unlock()
	for _, reader := range readers {
		if vm := s.vm(reader); vm != nil && vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
			return true
		}
	}
	return false
}
