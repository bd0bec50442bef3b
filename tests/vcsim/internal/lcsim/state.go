package lcsim

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// A saved simulator is a folder: its inventory, and the certificate that its
// clients trust. What a restarted vCenter forgets is not saved: sessions, and
// tasks with what they were doing.
const (
	stateFile       = "inventory.json"
	certificateFile = "cert.pem"
	keyFile         = "key.pem"
)

// savedState is the inventory, as far as clients can change it. The rest comes
// from the same flags as before, which give the same references again.
type savedState struct {
	Serial    int64                        `json:"serial"`
	Counter   types.ManagedObjectReference `json:"counter"` // the newest entity: references are not given twice
	Folders   []mo.Folder                  `json:"folders"`
	VMs       []mo.VirtualMachine          `json:"vms"`
	Snapshots []mo.VirtualMachineSnapshot  `json:"snapshots"`
	Files     []savedFile                  `json:"files"`
	Gone      []savedFile                  `json:"gone"`
}

type savedFile struct {
	Datastore string `json:"datastore"`
	Name      string `json:"name"`
	Capacity  int64  `json:"capacity"`
	Size      int64  `json:"size"`
	HiddenOn  string `json:"hiddenOn"`
	Hidden    string `json:"hidden"`
	ParentOn  string `json:"parentOn"`
	Parent    string `json:"parent"`
	Bare      bool   `json:"bare"`
	UUID      string `json:"uuid"`
	Content   string `json:"content"`
	Version   int    `json:"version"`
	Seen      int    `json:"seen"`
}

// save writes the inventory to a folder. No task does any work from then on,
// as in a process that has ended.
func (s *Sim) save(dir string) error {
	s.working.Lock() // for good
	ctx := s.context()
	state := savedState{Serial: s.serial.Load()}
	state.Counter = ctx.Map.NewEntity(&simulator.VirtualMachine{}).Reference()
	for _, e := range s.registry().All("Folder") {
		if folder, ok := e.(*simulator.Folder); ok {
			ctx.WithLock(folder, func() { state.Folders = append(state.Folders, deepCopy(folder.Folder)) })
		}
	}
	for _, e := range s.registry().All("VirtualMachine") {
		vm, ok := e.(*simulator.VirtualMachine)
		if !ok || vm.Parent == nil || vm.Runtime.Host == nil {
			continue
		}
		ctx.WithLock(vm, func() {
			kept := deepCopy(vm.VirtualMachine)
			kept.RecentTask = nil
			state.VMs = append(state.VMs, kept)
		})
		for _, snap := range s.snapshotsOf(&vm.VirtualMachine) {
			state.Snapshots = append(state.Snapshots, deepCopy(snap.VirtualMachineSnapshot))
		}
	}
	state.Files, state.Gone = s.disks.saved()
	var out bytes.Buffer
	if err := types.NewJSONEncoder(&out).Encode(state); err != nil {
		return err
	}
	return writeWhole(filepath.Join(dir, stateFile), out.Bytes())
}

// writeWhole never leaves half a file behind.
func writeWhole(file string, data []byte) error {
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// restore puts the saved inventory in the place of the model's. It tells
// whether there was one.
func (s *Sim) restore(dir string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var state savedState
	if err := types.NewJSONDecoder(bytes.NewReader(data)).Decode(&state); err != nil {
		return false, err
	}
	ctx := s.context()
	s.clearVMs(ctx)
	s.restoreFolders(ctx, state.Folders)
	s.disks.restore(state.Files, state.Gone)
	for i := range state.Snapshots {
		ctx.Map.Put(&simulator.VirtualMachineSnapshot{VirtualMachineSnapshot: state.Snapshots[i]})
	}
	for i := range state.VMs {
		s.restoreVM(ctx, &state.VMs[i])
	}
	s.serial.Store(state.Serial)
	// The library gives references from a counter: let it go on behind the newest.
	last := &simulator.VirtualMachine{}
	last.Self = state.Counter
	ctx.Map.Put(last)
	err = ctx.Map.AlignCounter()
	ctx.Map.Remove(ctx, state.Counter)
	return true, err
}

// clearVMs takes the model's own VMs out of the inventory.
func (s *Sim) clearVMs(ctx *simulator.Context) {
	drop := func(list []ref) []ref {
		return slices.DeleteFunc(list, func(r ref) bool { return r.Type == "VirtualMachine" })
	}
	for _, e := range s.registry().All("VirtualMachine") {
		ctx.Map.Remove(ctx, e.Reference())
	}
	for _, kind := range []string{"Folder", "HostSystem", "Datastore", "ResourcePool", "Network", "DistributedVirtualPortgroup"} {
		for _, e := range s.registry().All(kind) {
			switch o := e.(type) {
			case *simulator.Folder:
				o.ChildEntity = drop(o.ChildEntity)
			case *simulator.HostSystem:
				o.Vm = drop(o.Vm)
			case *simulator.Datastore:
				o.Vm = drop(o.Vm)
			case *simulator.ResourcePool:
				o.Vm = drop(o.Vm)
			}
		}
	}
}

func (s *Sim) restoreFolders(ctx *simulator.Context, folders []mo.Folder) {
	for _, saved := range folders {
		saved.ChildEntity = slices.DeleteFunc(saved.ChildEntity, func(r ref) bool {
			return r.Type == "VirtualMachine" // register puts them there
		})
		if folder, ok := ctx.Map.Get(saved.Self).(*simulator.Folder); ok {
			folder.Folder = saved
		} else {
			ctx.Map.Put(&simulator.Folder{Folder: saved})
		}
	}
}

func (s *Sim) restoreVM(ctx *simulator.Context, saved *mo.VirtualMachine) {
	vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
	vm.VirtualMachine = *saved
	counter := new(atomic.Int32)
	if saved.Snapshot != nil {
		counter.Store(highestSnapshot(saved.Snapshot.RootSnapshotList))
	}
	s.snapshots.Store(vm.Self, counter)
	s.ids.claim(vm.Self, vm.Config.InstanceUuid)
	sizes := deepCopy(*saved)
	s.register(ctx, folderOf(ctx.Map, *vm.Parent), vm)
	// What was stale before is stale again: see RefreshStorageInfo.
	vm.LayoutEx, vm.Layout = sizes.LayoutEx, sizes.Layout
	vm.Storage, vm.Summary.Storage = sizes.Storage, sizes.Summary.Storage
}

func highestSnapshot(nodes []types.VirtualMachineSnapshotTree) (highest int32) {
	for _, n := range nodes {
		highest = max(highest, n.Id, highestSnapshot(n.ChildSnapshotList))
	}
	return highest
}

func (s *diskStore) saved() (files, gone []savedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, f := range s.files {
		files = append(files, savedFile{
			Datastore: id.datastore, Name: id.name, Capacity: f.capacity, Size: f.size,
			HiddenOn: f.hidden.datastore, Hidden: f.hidden.name,
			ParentOn: f.parent.datastore, Parent: f.parent.name, Bare: f.bare,
			UUID: f.uuid, Content: f.content, Version: f.version, Seen: f.seen,
		})
	}
	for id := range s.gone {
		gone = append(gone, savedFile{Datastore: id.datastore, Name: id.name})
	}
	return files, gone
}

func (s *diskStore) restore(files, gone []savedFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.files)
	clear(s.gone)
	clear(s.folders)
	for _, f := range files {
		s.add(fileID{f.Datastore, f.Name}, diskFile{
			capacity: f.Capacity, size: f.Size,
			hidden: fileID{f.HiddenOn, f.Hidden}, parent: fileID{f.ParentOn, f.Parent}, bare: f.Bare,
			uuid: f.UUID, content: f.Content, version: f.Version, seen: f.Seen,
		})
	}
	for _, f := range gone {
		s.gone[fileID{f.Datastore, f.Name}] = true
	}
}

// keptCertificate is the one that was served before, or a new one that is kept.
func keptCertificate(dir string) (tls.Certificate, error) {
	cert, key := filepath.Join(dir, certificateFile), filepath.Join(dir, keyFile)
	if kept, err := tls.LoadX509KeyPair(cert, key); err == nil {
		return kept, nil
	}
	made, err := newCertificate()
	if err != nil {
		return made, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		return made, err
	}
	if err := writeWhole(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return made, err
	}
	return made, writeWhole(cert, certificatePEM(made))
}
