package lcsim

import (
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

const (
	methodClone      = "CloneVM_Task"
	methodCheckClone = "CheckClone_Task"
	methodCreate     = "CreateVM_Task"
	methodRegister   = "RegisterVM_Task"
)

// taskNames maps names that the library gives its tasks to the API's own:
// clients resolve TaskInfo.name as a method and stumble over others.
var taskNames = map[string]string{
	"PowerOn": "PowerOnVM_Task", "PowerOff": "PowerOffVM_Task",
	"Suspend": "SuspendVM_Task", "Reset": "ResetVM_Task",
	"ReconfigVm": "ReconfigVM_Task", "UpgradeVm": "UpgradeVM_Task",
	"Destroy": "Destroy_Task", "RelocateVm": "RelocateVM_Task",
	"CustomizeVm": "CustomizeVM_Task", "CreateVm": "CreateVM_Task",
	"CreateVM": "CreateVM_Task", "RegisterVm": "RegisterVM_Task",
	"RegisterVM": "RegisterVM_Task", "Rename": "Rename_Task",
	"MoveIntoFolder": "MoveIntoFolder_Task", "PowerOnMultiVM": "PowerOnMultiVM_Task",
	"CreateVirtualDisk": "CreateVirtualDisk_Task", "DeleteVirtualDisk": "DeleteVirtualDisk_Task",
	"DeleteDatastoreFile": "DeleteDatastoreFile_Task", "EnterMaintenanceMode": "EnterMaintenanceMode_Task",
	"ExitMaintenanceMode": "ExitMaintenanceMode_Task",
}

func renameTask(info *types.TaskInfo) {
	switch name, known := taskNames[info.Name]; {
	case known:
		info.Name = name
	case info.Name != "" && !strings.HasSuffix(info.Name, "_Task"):
		info.Name += "_Task"
	}
}

// descriptionIDs are the ids of the tasks that this package runs.
var descriptionIDs = map[string]string{
	methodClone:                    "VirtualMachine.clone",
	methodFork:                     "VirtualMachine.instantClone",
	"Destroy_Task":                 "VirtualMachine.destroy",
	"PromoteDisks_Task":            "VirtualMachine.promoteDisks",
	"CreateSnapshot_Task":          "VirtualMachine.createSnapshot",
	"CreateSnapshotEx_Task":        "VirtualMachine.createSnapshotEx",
	"RemoveAllSnapshots_Task":      "VirtualMachine.removeAllSnapshots",
	"RevertToCurrentSnapshot_Task": "VirtualMachine.revertToCurrentSnapshot",
	"ReconfigVM_Task":              "VirtualMachine.reconfigure",
	"RelocateVM_Task":              "VirtualMachine.relocate",
	"PowerOnVM_Task":               "VirtualMachine.powerOn",
	"PowerOffVM_Task":              "VirtualMachine.powerOff",
	"CustomizeVM_Task":             "VirtualMachine.customize",
	"RemoveSnapshot_Task":          "vm.Snapshot.remove",
	"RevertToSnapshot_Task":        "vm.Snapshot.revert",
	"PowerOnMultiVM_Task":          "Datacenter.powerOnVm",
	methodSearch:                   "HostDatastoreBrowser.searchDatastore",
	methodSearchAll:                "HostDatastoreBrowser.searchDatastoreSubFolders",
	methodDeleteFile:               "FileManager.deleteDatastoreFile",
	methodCopyFile:                 "FileManager.copyDatastoreFile",
	methodCopyDisk:                 "VirtualDiskManager.copyVirtualDisk",
	methodDeleteDisk:               "VirtualDiskManager.deleteVirtualDisk",
	methodExtendDisk:               "VirtualDiskManager.extendVirtualDisk",
	methodCreate:                   "Folder.createVm",
	methodRegister:                 "Folder.registerVm",
	methodCheckClone:               "ProvisioningChecker.checkClone",
	methodCheckFork:                "vm.check.ProvisioningChecker.checkInstantClone",
}

func descriptionID(method string) string {
	if id, ok := descriptionIDs[method]; ok {
		return id
	}
	return strings.TrimSuffix(method, "_Task")
}
