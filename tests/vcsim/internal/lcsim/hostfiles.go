package lcsim

import (
	"io"
	"os"
	"path"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	methodCopyFile   = "CopyDatastoreFile_Task"
	methodCopyDisk   = "CopyVirtualDisk_Task"
	methodDeleteDisk = "DeleteVirtualDisk_Task"
	methodExtendDisk = "ExtendVirtualDisk_Task"
)

// diskMethods copies, extends and deletes whole virtual disks.
type diskMethods struct {
	unlocked
	Self types.ManagedObjectReference
	sim  *Sim
}

// Reference implements mo.Reference.
func (m *diskMethods) Reference() types.ManagedObjectReference { return m.Self }

func noFile(name string) types.BaseMethodFault {
	return &types.FileNotFound{FileFault: types.FileFault{File: name}}
}

func fileExists(name string) types.BaseMethodFault {
	return &types.FileAlreadyExists{FileFault: types.FileFault{File: name}}
}

func fileLocked(name string) types.BaseMethodFault {
	return withMessage(&types.FileLocked{FileFault: types.FileFault{File: name}}, "Failed to lock the file "+name)
}

// startFileTask runs a task of a manager of files. It is filed under the
// datacenter: clients cannot read an entity that is not managed.
func (s *Sim) startFileTask(
	ctx *simulator.Context, method string, check func(*simulator.Context) types.BaseMethodFault,
	run func() types.BaseMethodFault,
) types.ManagedObjectReference {
	return s.startTask(ctx, work{
		method: method, id: descriptionID(method), entity: s.registry().Any("Datacenter"), check: check,
		run: func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { return nil, run() },
	})
}

// MakeDirectory makes one folder. It is the lock on a VM's name where there is
// no other: the second call finds it there [fact: vs-esxi-directory].
func (m *fileMethods) MakeDirectory(ctx *simulator.Context, req *types.MakeDirectory) soap.HasFault {
	body := new(methods.MakeDirectoryBody)
	id, fault := m.sim.placeOf(req.Datacenter, req.Name)
	switch {
	case fault != nil:
		body.Fault_ = soapFault(fault)
	case m.sim.disks.hasFolder(id.datastore, id.name):
		body.Fault_ = soapFault(fileExists(req.Name))
	default:
		return m.stock.MakeDirectory(ctx, req)
	}
	return body
}

// CopyDatastoreFileTask copies a file that is no disk.
func (m *fileMethods) CopyDatastoreFileTask(
	ctx *simulator.Context, req *types.CopyDatastoreFile_Task,
) soap.HasFault {
	return &methods.CopyDatastoreFile_TaskBody{Res: &types.CopyDatastoreFile_TaskResponse{
		Returnval: m.sim.startFileTask(ctx, methodCopyFile, nil, func() types.BaseMethodFault { return m.sim.copyFile(req) }),
	}}
}

func (s *Sim) copyFile(req *types.CopyDatastoreFile_Task) types.BaseMethodFault {
	if _, kind := s.fileOn(req.SourceDatacenter, req.SourceName); kind != notOurs {
		return &types.NotSupported{} // of disks and .vmx files only the names are kept
	}
	source, fault := s.placeOf(req.SourceDatacenter, req.SourceName)
	if fault != nil {
		return fault
	}
	target, fault := s.placeOf(req.DestinationDatacenter, req.DestinationName)
	if fault != nil {
		return fault
	}
	from, err := os.Open(s.realPath(source))
	if err != nil {
		return noFile(req.SourceName)
	}
	defer from.Close()
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if req.Force != nil && *req.Force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	to, err := os.OpenFile(s.realPath(target), flags, 0o600)
	switch {
	case os.IsExist(err):
		return fileExists(req.DestinationName)
	case err != nil:
		return noFile(req.DestinationName)
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return &types.CannotAccessFile{FileFault: types.FileFault{File: req.DestinationName}}
	}
	return nil
}

// CopyVirtualDiskTask merges a disk's chain into one flat disk of its own. The
// target is there from the start on; `force` is ignored by hosts, and the
// target's form may be anything [fact: vs-esxi-copy].
func (m *diskMethods) CopyVirtualDiskTask(ctx *simulator.Context, req *types.CopyVirtualDisk_Task) soap.HasFault {
	s := m.sim
	var target fileID
	done := false
	check := func(*simulator.Context) types.BaseMethodFault {
		source, fault := s.diskAt(req.SourceDatacenter, req.SourceName)
		if fault != nil {
			return fault
		}
		if s.writtenBy(source) != nil {
			return fileLocked(req.SourceName)
		}
		f, _ := s.disks.get(source)
		id, fault := s.newDisk(req.DestDatacenter, req.DestName, diskFile{
			capacity: f.capacity, size: s.chainSize(s.backingOf(source)), uuid: newUUID(),
		})
		if fault == nil {
			target = id
		}
		return fault
	}
	return &methods.CopyVirtualDisk_TaskBody{Res: &types.CopyVirtualDisk_TaskResponse{
		Returnval: s.startTask(ctx, work{
			method: methodCopyDisk, id: descriptionID(methodCopyDisk), entity: s.registry().Any("Datacenter"),
			cancelable: true, check: check,
			run: func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { done = true; return nil, nil },
			end: func() {
				if !done && target.name != "" {
					s.deleteFile(target)
				}
			},
		}),
	}}
}

// DeleteVirtualDiskTask deletes a descriptor with its extents, and nothing
// below it.
func (m *diskMethods) DeleteVirtualDiskTask(ctx *simulator.Context, req *types.DeleteVirtualDisk_Task) soap.HasFault {
	run := func() types.BaseMethodFault {
		id, fault := m.sim.diskAt(req.Datacenter, req.Name)
		if fault != nil {
			return fault
		}
		if m.sim.runsOn(id) {
			return fileLocked(req.Name)
		}
		m.sim.deleteFile(id)
		return nil
	}
	return &methods.DeleteVirtualDisk_TaskBody{Res: &types.DeleteVirtualDisk_TaskResponse{
		Returnval: m.sim.startFileTask(ctx, methodDeleteDisk, nil, run),
	}}
}

// ExtendVirtualDiskTask makes a disk larger that nobody has open.
func (m *diskMethods) ExtendVirtualDiskTask(ctx *simulator.Context, req *types.ExtendVirtualDisk_Task) soap.HasFault {
	run := func() types.BaseMethodFault {
		id, fault := m.sim.diskAt(req.Datacenter, req.Name)
		if fault != nil {
			return fault
		}
		f, _ := m.sim.disks.get(id)
		if m.sim.runsOn(id) {
			return fileLocked(req.Name)
		}
		if req.NewCapacityKb<<10 < f.capacity {
			return &types.InvalidArgument{InvalidProperty: "newCapacityKb"}
		}
		f.capacity = req.NewCapacityKb << 10
		m.sim.disks.put(id, f)
		return nil
	}
	return &methods.ExtendVirtualDisk_TaskBody{Res: &types.ExtendVirtualDisk_TaskResponse{
		Returnval: m.sim.startFileTask(ctx, methodExtendDisk, nil, run),
	}}
}

// diskAt finds a disk by the name of its descriptor.
func (s *Sim) diskAt(dc *types.ManagedObjectReference, name string) (fileID, types.BaseMethodFault) {
	id, kind := s.fileOn(dc, name)
	if kind != descriptorFile {
		return id, noFile(name)
	}
	return id, nil
}

// newDisk reserves a disk file under a whole name, in a folder that is there.
func (s *Sim) newDisk(dc *types.ManagedObjectReference, name string, f diskFile) (fileID, types.BaseMethodFault) {
	id, fault := s.placeOf(dc, name)
	if fault != nil {
		return id, fault
	}
	if path.Ext(name) != ".vmdk" {
		return id, &types.InvalidDatastorePath{DatastorePath: name}
	}
	if !s.hasFolder(fileID{id.datastore, path.Dir(name)}) {
		return id, noFile(name)
	}
	if !s.disks.create(id, f) {
		return id, fileExists(name)
	}
	return id, nil
}

// hasFolder tells whether a folder is there, with files or without.
func (s *Sim) hasFolder(id fileID) bool {
	info, err := os.Stat(s.realPath(id))
	return err == nil && info.IsDir() || s.disks.hasFolder(id.datastore, id.name)
}

// placeOf finds the datastore of a path, which may name a file, a folder, or
// nothing that is there.
func (s *Sim) placeOf(dc *types.ManagedObjectReference, name string) (fileID, types.BaseMethodFault) {
	p := parsePath(name)
	for _, e := range s.registry().All("Datacenter") {
		one, ok := e.(*simulator.Datacenter)
		if !ok || dc != nil && one.Self != *dc {
			continue
		}
		if ds := s.registry().FindByName(p.Datastore, one.Datastore); ds != nil && p.Datastore != "" {
			folder := strings.TrimSuffix(p.Path, "/")
			return fileID{ds.Reference().Value, strings.TrimSuffix("["+p.Datastore+"] "+folder, " ")}, nil
		}
	}
	return fileID{}, &types.InvalidDatastorePath{DatastorePath: name}
}

// realPath is where the library keeps a file that is not in our store.
func (s *Sim) realPath(id fileID) string { return s.localPath(id.datastore, parsePath(id.name).Path) }

// create adds a file unless there is one of that name.
func (s *diskStore) create(id fileID, f diskFile) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[id] != nil {
		return false
	}
	s.add(id, f)
	return true
}

// backingOf is a disk as it is found on a datastore, with all that it hangs from.
//
// A delta's disk UUID is its parent's [fact: vs-disk-uuid].
func (s *Sim) backingOf(id fileID) backing {
	f, ok := s.disks.get(id)
	if !ok {
		return nil
	}
	b := &types.VirtualDiskFlatVer2BackingInfo{DiskMode: string(types.VirtualDiskModePersistent), Uuid: f.uuid}
	setFile(b, id)
	setThin(b)
	b.Split, b.WriteThrough, b.DigestEnabled = types.NewBool(false), types.NewBool(false), types.NewBool(false)
	b.ContentId = f.content
	if f.parent.name != "" {
		setParent(b, s.backingOf(f.parent))
	}
	return b
}
