package lcsim

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const maxDocument = 524288 // [fact: vs-cust-identities]

var (
	hostName     = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	computerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,15}$`)
	onlyDigits   = regexp.MustCompile(`^[0-9]+$`)
)

// checkSpecification refuses what vCenter refuses before the guest runs. The
// caller holds the VM's lock.
func (s *Sim) checkSpecification(
	ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.CustomizationSpec,
) types.BaseMethodFault {
	cards := len(cardsOf(vm.Config.Hardware.Device))
	if entries := len(spec.NicSettingMap); entries != 0 && entries != cards {
		// Empty, or exactly one entry for each card [fact: vs-cust-nic-count].
		return &types.NicSettingMismatch{NumberOfNicsInSpec: int32(entries), NumberOfNicsInVM: int32(cards)}
	}
	if !fitsGuest(spec.Identity, vm.Config.GuestId) {
		// [fact: vs-cust-guest-id]
		return &types.UncustomizableGuest{UncustomizableGuestOS: vm.Config.GuestId}
	}
	if !s.decrypts(ctx, spec) {
		return new(types.CannotDecryptPasswords)
	}
	return checkIdentity(spec.Identity)
}

// fitsGuest tells Windows from the rest by the guest id.
func fitsGuest(identity types.BaseCustomizationIdentitySettings, guest string) bool {
	windows := strings.HasPrefix(guest, "win")
	switch identity.(type) {
	case *types.CustomizationLinuxPrep, *types.CustomizationCloudinitPrep:
		return !windows
	case *types.CustomizationSysprep, *types.CustomizationSysprepText:
		return windows || guest == string(types.VirtualMachineGuestOsIdentifierOtherGuest)
	}
	return true
}

// decrypts says whether all passwords are plain, or were encrypted here.
//
// Passwords that are not marked as plain text are decrypted with vCenter's key
// [fact: vs-cust-passwords].
func (s *Sim) decrypts(ctx *simulator.Context, spec *types.CustomizationSpec) bool {
	var key []byte
	if ref := s.model.ServiceContent.CustomizationSpecManager; ref != nil {
		if manager, ok := ctx.Map.Get(*ref).(*simulator.CustomizationSpecManager); ok {
			key = manager.EncryptionKey
		}
	}
	for _, password := range passwordsOf(spec.Identity) {
		if password != nil && !password.PlainText && !bytes.Equal(spec.EncryptionKey, key) {
			return false
		}
	}
	return true
}

func passwordsOf(identity types.BaseCustomizationIdentitySettings) []*types.CustomizationPassword {
	switch id := identity.(type) {
	case *types.CustomizationLinuxPrep:
		return []*types.CustomizationPassword{id.Password}
	case *types.CustomizationSysprep:
		return []*types.CustomizationPassword{id.GuiUnattended.Password, id.Identification.DomainAdminPassword}
	}
	return nil
}

// checkIdentity holds the rules of [fact: vs-cust-identities]. Which fault a broken
// one gives is our choice.
func checkIdentity(identity types.BaseCustomizationIdentitySettings) types.BaseMethodFault {
	switch id := identity.(type) {
	case *types.CustomizationLinuxPrep:
		if fixed, ok := id.HostName.(*types.CustomizationFixedName); ok && !isHostName(fixed.Name) {
			return invalidArgument("spec.identity.hostName")
		}
	case *types.CustomizationSysprep:
		return checkSysprep(id)
	case *types.CustomizationCloudinitPrep:
		if len(id.Metadata) > maxDocument || id.Metadata == "" {
			return invalidArgument("spec.identity.metadata")
		}
		if len(id.Userdata) > maxDocument {
			return invalidArgument("spec.identity.userdata")
		}
	}
	return nil
}

func isHostName(name string) bool {
	return hostName.MatchString(name) && !onlyDigits.MatchString(name)
}

func checkSysprep(id *types.CustomizationSysprep) types.BaseMethodFault {
	if fixed, ok := id.UserData.ComputerName.(*types.CustomizationFixedName); ok {
		if !computerName.MatchString(fixed.Name) || onlyDigits.MatchString(fixed.Name) {
			return invalidArgument("spec.identity.userData.computerName")
		}
	}
	join := id.Identification
	switch {
	case join.JoinWorkgroup != "" && (join.JoinDomain != "" || join.DomainAdmin != "" || join.DomainAdminPassword != nil):
		return invalidArgument("spec.identity.identification.joinWorkgroup")
	case join.JoinDomain != "" && (join.DomainAdmin == "" || join.DomainAdminPassword == nil):
		return invalidArgument("spec.identity.identification.domainAdmin")
	case id.GuiUnattended.TimeZone < 0 || id.GuiUnattended.TimeZone > 300:
		return invalidArgument("spec.identity.guiUnattended.timeZone")
	}
	return nil
}
