package lcsim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// hostRules say how a lone ESXi host behaves where reports contradict each
// other, and what tests set. The zero value is a host with a full licence that
// keeps bases and allows several VMs of one name.
type hostRules struct {
	lone bool // an ESXi host without a vCenter

	mu         sync.Mutex
	takesBase  bool // Destroy_Task takes a base along with its last child
	free       bool // the licence refuses every change
	uniqueName bool // CreateVM_Task refuses a name that another VM has

	vms sync.Map // fileID of a .vmx -> *retiredVM, what RegisterVM_Task brings back
}

// hostSettings is what tests say of a lone host. What is left out stays as it is.
type hostSettings struct {
	Destroy    string   `json:"destroy"`     // keeps-base or takes-base
	Licence    string   `json:"licence"`     // free or full
	Names      string   `json:"names"`       // several or unique
	ManagedBy  *string  `json:"managed_by"`  // address of the vCenter that manages it; empty: none
	DeltaDisks *bool    `json:"delta_disks"` // capability.deltaDiskBackingsSupported
	Shared     []string `json:"shared"`      // VMFS volumes that other hosts may see
	NFS        []string `json:"nfs"`         // datastores that are NFS mounts
}

func (r *hostRules) has(rule *bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *rule
}

// choose sets a rule by the name of one of its two values; empty leaves it.
func (r *hostRules) choose(rule *bool, key, value, off, on string) error {
	if value != "" && value != off && value != on {
		return fmt.Errorf("%s: %q is not %s or %s", key, value, off, on)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if value != "" {
		*rule = value == on
	}
	return nil
}

func (s *Sim) setHost(in hostSettings) error {
	if !s.host.lone {
		return fmt.Errorf("this is a vCenter: start with -esx")
	}
	if err := s.host.choose(&s.host.takesBase, "destroy", in.Destroy, "keeps-base", "takes-base"); err != nil {
		return err
	}
	if err := s.host.choose(&s.host.uniqueName, "names", in.Names, "several", "unique"); err != nil {
		return err
	}
	if err := s.host.choose(&s.host.free, "licence", in.Licence, "full", "free"); err != nil {
		return err
	}
	s.publishLicence()
	for _, e := range s.registry().All("HostSystem") {
		host := e.(*simulator.HostSystem)
		s.context().WithLock(host, func() {
			if in.ManagedBy != nil {
				host.Summary.ManagementServerIp = *in.ManagedBy
			}
			if in.DeltaDisks != nil {
				host.Capability.DeltaDiskBackingsSupported = *in.DeltaDisks
			}
		})
	}
	for _, name := range slices.Concat(in.Shared, in.NFS) {
		ds, err := entityNamed[*simulator.Datastore](s, "Datastore", name)
		if err != nil {
			return err
		}
		s.context().WithLock(ds, func() { mountStore(ds, false, slices.Contains(in.NFS, name)) })
	}
	return nil
}

// clear is the host as it was at its start.
func (s *Sim) clearHost() {
	if !s.host.lone {
		return
	}
	supported, nobody := true, ""
	_ = s.setHost(hostSettings{
		Destroy: "keeps-base", Licence: "full", Names: "several", ManagedBy: &nobody, DeltaDisks: &supported,
	})
	for _, e := range s.registry().All("Datastore") {
		ds := e.(*simulator.Datastore)
		s.context().WithLock(ds, func() { mountStore(ds, true, false) })
	}
}

// dressHost makes the library's ESXi model look like a lone host: plain numbers
// as references, and VMFS volumes of its own.
func (s *Sim) dressHost() {
	if !s.host.lone {
		return
	}
	ctx := s.context()
	var machines []*simulator.VirtualMachine
	for _, e := range s.registry().All("VirtualMachine") {
		machines = append(machines, e.(*simulator.VirtualMachine))
	}
	s.clearVMs(ctx)
	slices.SortFunc(machines, func(a, b *simulator.VirtualMachine) int { return strings.Compare(a.Name, b.Name) })
	for _, old := range machines {
		vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
		vm.VirtualMachine = deepCopy(old.VirtualMachine)
		vm.Self = s.newVM(ctx)
		vm.Summary.Vm = &vm.Self
		s.register(ctx, folderOf(ctx.Map, *vm.Parent), vm)
	}
	for _, e := range s.registry().All("HostSystem") {
		// The library gives it a random one; clients derive identities from it.
		host := e.(*simulator.HostSystem)
		host.Hardware.SystemInfo.Uuid, host.Summary.Hardware.Uuid = esxHardware, esxHardware
	}
	s.clearHost()
}

const esxHardware = "4c4c4544-0051-3410-8058-b4c04f564432"

// newVM is the reference of a VM that is about to be made. A host gives a plain
// number, anew with each registration [fact: vs-esxi-ids].
func (s *Sim) newVM(ctx *simulator.Context) types.ManagedObjectReference {
	if s.host.lone {
		return types.ManagedObjectReference{Type: "VirtualMachine", Value: strconv.FormatInt(s.serial.Add(1), 10)}
	}
	return ctx.Map.NewEntity(&simulator.VirtualMachine{}).Reference()
}

// mountStore shows a datastore as a host sees it: only vCenter tells whether
// several hosts have it (summary.multipleHostAccess).
func mountStore(ds *simulator.Datastore, local, nfs bool) {
	info := *ds.Info.GetDatastoreInfo()
	volume := types.HostFileSystemVolume{Name: ds.Name, Capacity: ds.Summary.Capacity}
	ds.Summary.MultipleHostAccess = nil
	if nfs {
		volume.Type = string(types.HostFileSystemVolumeFileSystemTypeNFS)
		ds.Info = &types.NasDatastoreInfo{DatastoreInfo: info, Nas: &types.HostNasVolume{
			HostFileSystemVolume: volume, RemoteHost: "nas.example", RemotePath: "/exports/" + ds.Name,
		}}
	} else {
		volume.Type = string(types.HostFileSystemVolumeFileSystemTypeVMFS)
		ds.Info = &types.VmfsDatastoreInfo{DatastoreInfo: info, Vmfs: &types.HostVmfsVolume{
			HostFileSystemVolume: volume, MajorVersion: 6, Version: "6.82", BlockSizeMb: 1,
			Uuid: ds.Self.Value, VmfsUpgradable: false, Local: types.NewBool(local),
			Extent: []types.HostScsiDiskPartition{{DiskName: "naa.5000c500", Partition: 1}},
		}}
	}
	ds.Summary.Type = volume.Type
}

// publishLicence shows the licence that the rules speak of.
func (s *Sim) publishLicence() {
	content := s.registry().Get(esx.ServiceContent.LicenseManager.Reference())
	manager, ok := content.(*simulator.LicenseManager)
	if !ok {
		return
	}
	licence := simulator.EvalLicense
	if s.host.has(&s.host.free) {
		licence.EditionKey, licence.Name = "esxBasic", "VMware vSphere 8 Hypervisor"
		licence.LicenseKey = "11111-11111-11111-11111-11111"
	}
	s.context().WithLock(manager, func() {
		manager.Licenses = []types.LicenseManagerLicenseInfo{licence}
	})
}

// notOnHosts lists what only vCenter does.
//
// [fact: vs-esxi]
var notOnHosts = map[string][]string{
	"VirtualMachine": {
		methodClone, methodFork, "PromoteDisks_Task", "MarkAsTemplate", "MarkAsVirtualMachine",
		"RelocateVM_Task", "MigrateVM_Task", "CustomizeVM_Task",
	},
	"Folder": {
		"CreateFolder", "MoveIntoFolder_Task", "CreateDatacenter", "CreateClusterEx", "AddStandaloneHost_Task",
		"CreateStoragePod", "CreateDVS_Task", "PlaceVmsXCluster",
	},
	"Datacenter": {"PowerOnMultiVM_Task"},
}

// changing lists the types whose methods change something, but for those that
// begin with a word of looking. The free licence refuses them
// [fact: vs-esxi-licence].
var (
	changing = []string{
		"VirtualMachine", "VirtualMachineSnapshot", "Folder", "ResourcePool", "Datacenter", "FileManager",
		"VirtualDiskManager", "DatastoreNamespaceManager", "GuestProcessManager", "GuestFileManager",
	}
	lookingWords = []string{"Query", "Find", "Fetch", "Retrieve", "List", "Search", "RefreshStorageInfo", "AcquireTicket"}
)

// refuse answers what a lone host does not do, and what its licence forbids.
func (r *hostRules) refuse(call request) types.BaseMethodFault {
	if !r.lone {
		return nil
	}
	looks := slices.ContainsFunc(lookingWords, func(word string) bool { return strings.HasPrefix(call.method, word) })
	switch {
	case slices.Contains(notOnHosts[call.this.Type], call.method):
		return &types.NotSupported{}
	case slices.Contains(changing, call.this.Type) && !looks && r.has(&r.free):
		return withMessage(&types.RestrictedVersion{},
			"Current license or ESXi version prohibits execution of the requested operation.")
	}
	return nil
}
