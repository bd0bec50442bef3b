package lcsim

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// cloudMetadata is what cloud-init's VMware datasource reads, as far as it is
// modelled here: JSON only, network configuration of version 2.
type cloudMetadata struct {
	InstanceID string   `json:"instance-id"`
	HostName   string   `json:"local-hostname"`
	Redact     []string `json:"redact"`
	Network    struct {
		Ethernets map[string]struct {
			Match     map[string]string `json:"match"`
			Addresses []string          `json:"addresses"`
			Routes    []struct {
				Via string `json:"via"`
			} `json:"routes"`
			Nameservers struct {
				Addresses []string `json:"addresses"`
				Search    []string `json:"search"`
			} `json:"nameservers"`
		} `json:"ethernets"`
	} `json:"network"`
}

// bootCloudInit does what cloud-init does with the guestinfo settings of a VM
// that starts [fact: ci-vmware]. The caller holds
// the VM's lock.
//
// An OVF environment wins over guestinfo [fact: ci-vapp].
func (s *Sim) bootCloudInit(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	if app := vm.Config.VAppConfig; app != nil && len(app.GetVmConfigInfo().OvfEnvironmentTransport) > 0 {
		return
	}
	raw, err := unpackSetting(vm, "guestinfo.metadata")
	if err != nil || raw == nil {
		return
	}
	var meta cloudMetadata
	if json.Unmarshal(raw, &meta) != nil {
		return
	}
	s.become(ctx, vm, meta.identity(vm))
	for _, name := range meta.Redact {
		redact(ctx, vm, "guestinfo."+name)
	}
}

func (m *cloudMetadata) identity(vm *simulator.VirtualMachine) guestIdentity {
	cards := cardsOf(vm.Config.Hardware.Device)
	who := guestIdentity{host: m.HostName, cards: make([]guestAddress, len(cards))}
	for _, told := range m.Network.Ethernets {
		for i, card := range cards {
			if !cardMatches(told.Match, card, i) {
				continue
			}
			who.cards[i] = guestAddress{
				addresses: told.Addresses, dns: told.Nameservers.Addresses, search: told.Nameservers.Search,
			}
			for _, route := range told.Routes {
				who.cards[i].gateways = append(who.cards[i].gateways, route.Via)
			}
		}
	}
	for _, card := range who.cards {
		for _, server := range card.dns {
			if !slices.Contains(who.dns, server) {
				who.dns = append(who.dns, server)
			}
		}
	}
	return who
}

func setting(vm *simulator.VirtualMachine, key string) string {
	for _, option := range vm.Config.ExtraConfig {
		if o := option.GetOptionValue(); o.Key == key {
			text, _ := o.Value.(string)
			return text
		}
	}
	return ""
}

func unpackSetting(vm *simulator.VirtualMachine, key string) ([]byte, error) {
	text := setting(vm, key)
	if text == "" {
		return nil, nil
	}
	switch encoding := setting(vm, key+".encoding"); encoding {
	case "":
		return []byte(text), nil
	case "base64", "b64":
		return base64.StdEncoding.DecodeString(text)
	case "gzip+base64", "gz+b64":
		packed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		reader, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(reader)
	default:
		return nil, fmt.Errorf("encoding %q", encoding)
	}
}

// redact overwrites a setting once it has been read (cloud-init,
// DataSourceVMware.redact_keys).
func redact(ctx *simulator.Context, vm *simulator.VirtualMachine, key string) {
	options := slices.Clone(vm.Config.ExtraConfig)
	for i, option := range options {
		switch option.GetOptionValue().Key {
		case key:
			options[i] = &types.OptionValue{Key: key, Value: "---"}
		case key + ".encoding":
			options[i] = &types.OptionValue{Key: key + ".encoding", Value: " "}
		}
	}
	ctx.Update(vm, []types.PropertyChange{{Name: "config.extraConfig", Val: options}})
}
