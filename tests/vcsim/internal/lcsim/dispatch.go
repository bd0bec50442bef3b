package lcsim

import (
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// unlocked keeps the library from holding an object's lock during our methods;
// they lock for as long as they touch something.
type unlocked struct{}

func (*unlocked) Lock()   {}
func (*unlocked) Unlock() {}

// dispatch sees each call before the library looks up its object. Where we
// answer a method ourselves, it puts our object in front for this call alone.
func (s *Sim) dispatch(ctx *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	if ctx.Session == nil {
		return nil, refuseStranger(m)
	}
	if fault := refuseDisabled(ctx, m); fault != nil {
		return nil, fault
	}
	clampPage(m)
	expandTraversal(ctx, m)
	if create, ok := m.Body.(*types.CreateVM_Task); ok && !s.host.lone {
		for _, change := range create.Config.DeviceChange {
			s.layDisk(change.GetVirtualDeviceConfigSpec().Device)
		}
	}
	if ours := s.override(ctx, m); ours != nil {
		overlay := simulator.NewRegistry()
		overlay.Put(ours)
		ctx.Session.Registry = overlay // the session here is this call's own copy
	}
	return nil, nil
}

func (s *Sim) override(ctx *simulator.Context, m *simulator.Method) mo.Reference {
	if !slices.Contains(ownMethods[m.This.Type], m.Name) {
		return nil
	}
	switch m.This.Type {
	case "VirtualMachine":
		if vm := s.vm(m.This); vm != nil {
			return &vmMethods{Self: m.This, sim: s, vm: vm}
		}
	case "VirtualMachineSnapshot":
		if snap := s.snapshot(m.This); snap != nil {
			return &snapshotMethods{Self: m.This, sim: s, snap: snap}
		}
	case "Datacenter":
		if dc, ok := ctx.Map.Get(m.This).(*simulator.Datacenter); ok {
			return &datacenterMethods{Self: m.This, sim: s, dc: dc}
		}
	case "ClusterComputeResource":
		if cluster, ok := ctx.Map.Get(m.This).(*simulator.ClusterComputeResource); ok {
			return &clusterMethods{Self: m.This, sim: s, cluster: cluster}
		}
	case "AuthorizationManager":
		stock, _ := ctx.Map.Get(m.This).(*simulator.AuthorizationManager)
		return &rightsMethods{Self: m.This, sim: s, stock: stock}
	case "Folder":
		// vCenter's way to create VMs is the library's.
		if folder := folderOf(ctx.Map, m.This); folder != nil && s.host.lone {
			return &folderMethods{Self: m.This, sim: s, folder: folder}
		}
	case "VirtualMachineProvisioningChecker":
		if s.host.lone {
			return nil
		}
		return &checkerMethods{Self: m.This, sim: s}
	case "SearchIndex":
		if stock, ok := ctx.Map.Get(m.This).(*simulator.SearchIndex); ok {
			return &indexMethods{Self: m.This, sim: s, stock: stock}
		}
	case "PropertyCollector":
		return &pageMethods{Self: m.This, ctx: ctx}
	case "HostDatastoreBrowser":
		return &browserMethods{Self: m.This, sim: s}
	case "GuestProcessManager":
		return &processMethods{Self: m.This, sim: s}
	case "VirtualDiskManager":
		return &diskMethods{Self: m.This, sim: s}
	case "FileManager":
		stock, _ := ctx.Map.Get(m.This).(*simulator.FileManager)
		return &fileMethods{Self: m.This, sim: s, stock: stock}
	}
	return nil
}

// ownMethods lists what this package answers instead of the library.
var ownMethods = map[string][]string{
	"VirtualMachine": {
		methodClone, methodFork, "Destroy_Task", "PromoteDisks_Task",
		"CreateSnapshot_Task", "CreateSnapshotEx_Task", "RemoveAllSnapshots_Task",
		"RevertToCurrentSnapshot_Task", "ReconfigVM_Task", "RelocateVM_Task",
		"PowerOnVM_Task", "PowerOffVM_Task", "CustomizeVM_Task", "RefreshStorageInfo",
		"ShutdownGuest", "AcquireTicket", "Rename_Task", "UnregisterVM",
	},
	"VirtualMachineSnapshot": {"RemoveSnapshot_Task", "RevertToSnapshot_Task", "RenameSnapshot"},
	"Datacenter":             {"PowerOnMultiVM_Task"},
	"ClusterComputeResource": {"PlaceVm"},
	"AuthorizationManager": {
		"HasPrivilegeOnEntity", "HasPrivilegeOnEntities", "HasUserPrivilegeOnEntities",
		"FetchUserPrivilegeOnEntities",
	},
	"GuestProcessManager": {
		"StartProgramInGuest", "ListProcessesInGuest", "TerminateProcessInGuest",
	},
	"HostDatastoreBrowser":              {methodSearch, methodSearchAll},
	"Folder":                            {methodCreate, methodRegister},
	"FileManager":                       {methodDeleteFile, methodCopyFile, "MakeDirectory"},
	"VirtualDiskManager":                {methodCopyDisk, methodDeleteDisk, methodExtendDisk},
	"VirtualMachineProvisioningChecker": {methodCheckClone, methodCheckFork},
	"PropertyCollector":                 {"CancelRetrievePropertiesEx"},
	"SearchIndex":                       {"FindChild"},
}

// vmMethods, snapshotMethods and datacenterMethods carry our methods; the
// library finds them by name ("CloneVM_Task" is CloneVMTask).
type (
	vmMethods struct {
		unlocked
		Self types.ManagedObjectReference
		sim  *Sim
		vm   *simulator.VirtualMachine
	}
	snapshotMethods struct {
		unlocked
		Self types.ManagedObjectReference
		sim  *Sim
		snap *simulator.VirtualMachineSnapshot
	}
	datacenterMethods struct {
		unlocked
		Self types.ManagedObjectReference
		sim  *Sim
		dc   *simulator.Datacenter
	}
)

// Reference implements mo.Reference.
func (m *vmMethods) Reference() types.ManagedObjectReference { return m.Self }

// Reference implements mo.Reference.
func (m *snapshotMethods) Reference() types.ManagedObjectReference { return m.Self }

// Reference implements mo.Reference.
func (m *datacenterMethods) Reference() types.ManagedObjectReference { return m.Self }

// refuseStranger keeps those without a session from reading properties, which
// the library lets them try. currentSession stays readable [fact: vs-session]:
// it is how a client finds out that its session has ended.
func refuseStranger(m *simulator.Method) types.BaseMethodFault {
	denied := &types.NotAuthenticated{
		NoPermission: types.NoPermission{Object: &m.This, PrivilegeId: "System.View"},
	}
	switch m.Name {
	case "RetrieveProperties":
		return strangerFault(m.Body.(*types.RetrieveProperties).SpecSet, denied)
	case "RetrievePropertiesEx":
		return strangerFault(m.Body.(*types.RetrievePropertiesEx).SpecSet, denied)
	}
	return nil
}

func strangerFault(specs []types.PropertyFilterSpec, denied types.BaseMethodFault) types.BaseMethodFault {
	for _, spec := range specs {
		for _, o := range spec.ObjectSet {
			if o.Obj.Type != "SessionManager" && o.Obj.Type != "ServiceInstance" {
				return denied
			}
		}
	}
	return nil
}

// A method named in disabledMethod is refused [fact: vs-disabled-methods].
func refuseDisabled(ctx *simulator.Context, m *simulator.Method) types.BaseMethodFault {
	vm, ok := ctx.Map.Get(m.This).(*simulator.VirtualMachine)
	if !ok {
		return nil
	}
	goName := strings.Replace(m.Name, "_Task", "Task", 1)
	if slices.Contains(vm.DisabledMethod, m.Name) || slices.Contains(vm.DisabledMethod, goName) {
		return &types.MethodDisabled{}
	}
	return nil
}
