package lcsim

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"slices"
	"testing"

	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/vim25/types"
)

func linuxSpec(name string) *types.CustomizationSpec {
	return &types.CustomizationSpec{Identity: &types.CustomizationLinuxPrep{
		HostName: &types.CustomizationFixedName{Name: name}, Domain: "lab.example",
	}}
}

// customized clones and starts a VM with a specification.
func (b *bench) customized(name string, spec *types.CustomizationSpec) types.GuestInfo {
	b.Helper()
	clone := b.linked()
	clone.PowerOn, clone.Customization = true, spec
	return *b.props(b.clone(name, clone), "guest").Guest
}

// told returns the last event of a VM's customization.
func (b *bench) told(name string) types.BaseCustomizationEvent {
	b.Helper()
	events, err := event.NewManager(b.client.Client).QueryEvents(b.ctx, types.EventFilterSpec{
		Entity: &types.EventFilterSpecByEntity{
			Entity: b.vm(name).Reference(), Recursion: types.EventFilterSpecRecursionOptionSelf,
		},
	})
	b.must(err)
	var last types.BaseCustomizationEvent
	var key int32
	for _, e := range events {
		if c, ok := e.(types.BaseCustomizationEvent); ok && e.GetEvent().Key >= key {
			last, key = c, e.GetEvent().Key
		}
	}
	return last
}

func TestACustomizationFailsInTheGuestOnDemand(t *testing.T) {
	for _, kind := range []string{
		"CustomizationFailed", "CustomizationNetworkSetupFailed", "CustomizationLinuxIdentityFailed",
		"CustomizationSysprepFailed", "CustomizationUnknownFailure",
	} {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t)
			b.post("guest/customization", `{"name":"desk","event":"`+kind+`","text":"no such card"}`)
			info := b.customized("desk", linuxSpec("desk")).CustomizationInfo
			if info.CustomizationStatus != "TOOLSDEPLOYPKG_FAILED" || info.ErrorMsg != "no such card" {
				t.Errorf("info is %+v", info)
			}
			told := b.told("desk")
			if told == nil || told.GetCustomizationEvent().FullFormattedMessage != "no such card" {
				t.Errorf("told: %#v", told)
			}
			if b.customized("next", linuxSpec("next")).CustomizationInfo.ErrorMsg != "" {
				t.Error("the rule was not used up")
			}
		})
	}
}

func TestACustomizationThatNeverFinishesStaysRunning(t *testing.T) {
	b := newBench(t)
	b.post("guest/customization", `{"never":true}`)
	info := b.customized("desk", linuxSpec("desk")).CustomizationInfo
	if info.CustomizationStatus != "TOOLSDEPLOYPKG_RUNNING" {
		t.Errorf("info is %+v", info)
	}
	if _, started := b.told("desk").(*types.CustomizationStartedEvent); !started {
		t.Errorf("told: %#v", b.told("desk"))
	}
}

func TestSpecificationsThatVCenterRefuses(t *testing.T) {
	sealed := &types.CustomizationPassword{Value: "x"}
	sysprep := func(change func(*types.CustomizationSysprep)) *types.CustomizationSpec {
		id := &types.CustomizationSysprep{
			UserData:       types.CustomizationUserData{ComputerName: &types.CustomizationFixedName{Name: "desk"}},
			Identification: types.CustomizationIdentification{JoinWorkgroup: "LAB"},
		}
		change(id)
		return &types.CustomizationSpec{Identity: id}
	}
	b := newBench(t)
	refused := func(spec *types.CustomizationSpec) types.BaseMethodFault {
		clone := b.linked()
		clone.Customization = spec
		return b.refused("bad-"+newUUID(), clone)
	}
	wantFault[*types.CannotDecryptPasswords](t, refused(sysprep(func(id *types.CustomizationSysprep) {
		id.GuiUnattended.Password = sealed
	})))
	wantFault[*types.InvalidArgument](t, refused(linuxSpec("no_host")))
	wantFault[*types.InvalidArgument](t, refused(linuxSpec("123")))
	wantFault[*types.InvalidArgument](t, refused(sysprep(func(id *types.CustomizationSysprep) {
		id.UserData.ComputerName = &types.CustomizationFixedName{Name: "sixteen-letters-"}
	})))
	wantFault[*types.InvalidArgument](t, refused(sysprep(func(id *types.CustomizationSysprep) {
		id.Identification.JoinDomain = "corp.example"
	})))
	windows := b.linked()
	windows.Config = &types.VirtualMachineConfigSpec{GuestId: "windows2019srv_64Guest"}
	windows.Customization = linuxSpec("desk")
	wantFault[*types.UncustomizableGuest](t, b.refused("windows", windows))
}

func TestCloudInitReadsItsSettingsAndForgetsThem(t *testing.T) {
	b := newBench(t)
	clone := b.linked()
	clone.PowerOn = true
	clone.Config = &types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{
		&types.OptionValue{Key: "guestinfo.metadata", Value: packed(`{"instance-id":"i","local-hostname":"web",
			"redact":["userdata"],"network":{"version":2,"ethernets":{"a":{"match":{"name":"e*"},
			"addresses":["10.0.0.9/24","fd00::9/64"],"routes":[{"to":"0.0.0.0/0","via":"10.0.0.1"}],
			"nameservers":{"addresses":["10.0.0.2"]}}}}}`)},
		&types.OptionValue{Key: "guestinfo.metadata.encoding", Value: "gzip+base64"},
		&types.OptionValue{Key: "guestinfo.userdata", Value: "secret"},
	}}
	vm := b.clone("desk", clone)
	seen := b.props(vm, "guest", "config.extraConfig")
	if seen.Guest.HostName != "web" || !slices.Equal(seen.Guest.Net[0].IpAddress, []string{"10.0.0.9", "fd00::9"}) {
		t.Errorf("guest is %+v", seen.Guest)
	}
	stack := seen.Guest.IpStack[0]
	if stack.IpRouteConfig.IpRoute[0].Gateway.IpAddress != "10.0.0.1" || stack.DnsConfig.IpAddress[0] != "10.0.0.2" {
		t.Errorf("stack is %+v", stack)
	}
	for _, option := range seen.Config.ExtraConfig {
		if option.GetOptionValue().Value == "secret" {
			t.Error("the user data is still there")
		}
	}
}

func packed(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(out.Bytes())
}
