package lcsim

import (
	"os"
	"path/filepath"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vmdk"
)

// layDisk writes descriptors for the layers of a disk that the library is about
// to look at: it reads a parent's capacity from its file [fact: vs-esxi]
// (a disk with backing.parent.fileName), while our disks exist
// in the store only.
func (s *Sim) layDisk(device types.BaseVirtualDevice) {
	disk, ok := device.(*types.VirtualDisk)
	if !ok {
		return
	}
	for _, layer := range layers(disk.Backing) {
		id, err := s.fileNamed(vmdkOf(layer).FileName)
		if err != nil {
			continue // new, or not there: the library will say so
		}
		f, _ := s.disks.get(id)
		file := s.localPath(id.datastore, parsePath(id.name).Path)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		_ = os.MkdirAll(filepath.Dir(file), 0o700)
		if w, err := os.Create(file); err == nil {
			extent := vmdk.Extent{Size: f.capacity / vmdk.SectorSize, Info: filepath.Base(file)}
			_ = vmdk.NewDescriptor(extent).Write(w)
			_ = w.Close()
		}
	}
}
