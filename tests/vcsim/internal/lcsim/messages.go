package lcsim

import (
	"fmt"
	"reflect"

	"github.com/vmware/govmomi/vim25/types"
)

// faultMessage words a fault roughly as vCenter does.
func faultMessage(fault types.BaseMethodFault) string {
	if said := fault.GetMethodFault().FaultMessage; len(said) > 0 {
		return said[0].Message
	}
	switch f := fault.(type) {
	case *types.InvalidArgument:
		return "A specified parameter was not correct: " + f.InvalidProperty
	case *types.DuplicateName:
		return fmt.Sprintf("The name '%s' already exists.", f.Name)
	case *types.InvalidPowerState:
		return fmt.Sprintf("The attempted operation cannot be performed in the current state (%s).", f.ExistingState)
	case *types.ManagedObjectNotFound:
		return fmt.Sprintf("The object '%s' has already been deleted or has not been completely created", f.Obj)
	case *types.NotSupported:
		return "The operation is not supported on the object."
	case *types.FileNotFound:
		return fmt.Sprintf("Unable to access file %s", f.File)
	case *types.NoPermission:
		return "Permission to perform this operation was denied."
	case *types.NotAuthenticated:
		return "The session is not authenticated."
	case *types.NicSettingMismatch:
		return fmt.Sprintf("The number of network adapters in the virtual machine (%d) and in the customization specification (%d) differ.",
			f.NumberOfNicsInVM, f.NumberOfNicsInSpec)
	case *types.UncustomizableGuest:
		return fmt.Sprintf("Customization of the guest operating system '%s' is not supported in this configuration.", f.UncustomizableGuestOS)
	case *types.CannotDecryptPasswords:
		return "The passwords in the customization specification cannot be decrypted."
	case *types.CustomizationPending:
		return "A customization operation is already pending on this virtual machine."
	case *types.RequestCanceled:
		return "The task was canceled by a user."
	case *types.FileAlreadyExists:
		return fmt.Sprintf("Cannot complete the operation because the file or folder %s already exists", f.File)
	case *types.InvalidDeviceSpec:
		return fmt.Sprintf("Invalid configuration for device '%d'.", f.DeviceIndex)
	case *types.NoDiskSpace:
		return fmt.Sprintf("Insufficient disk space on datastore '%s'.", f.Datastore)
	default:
		return "A general system error occurred: " + reflect.TypeOf(fault).Elem().Name()
	}
}

func invalidArgument(property string) types.BaseMethodFault {
	return &types.InvalidArgument{InvalidProperty: property}
}

// withMessage makes a fault carry its own words.
func withMessage(fault types.BaseMethodFault, message string) types.BaseMethodFault {
	fault.GetMethodFault().FaultMessage = []types.LocalizableMessage{{Key: "vcsim.message", Message: message}}
	return fault
}
