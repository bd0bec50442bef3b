package lcsim

import (
	"fmt"

	"github.com/vmware/govmomi/vim25/types"
)

// guestCards is what a running guest reports of its network cards, bridges and
// tunnels of its own among them.
type guestCards struct {
	Name  string `json:"name"`
	Cards []struct {
		Card      *int     `json:"card"` // which of the VM's own; nil: one that the guest made
		MAC       string   `json:"mac"`  // unset: that of the VM's card
		Addresses []string `json:"addresses"`
	} `json:"cards"`
}

// setGuestCards puts them into guest.net.
//
// GuestNicInfo.deviceConfigId is -1 for what is no device of the VM [fact: vs-guest-cards].
func (s *Sim) setGuestCards(g guestCards) error {
	ctx := s.context()
	vm, ok := s.vmNamed(g.Name)
	if !ok {
		return fmt.Errorf("no VM is called %q", g.Name)
	}
	var fault error
	ctx.WithLock(vm, func() {
		own := cardsOf(vm.Config.Hardware.Device)
		var nics []types.GuestNicInfo
		for _, c := range g.Cards {
			nic := types.GuestNicInfo{Connected: true, DeviceConfigId: -1, MacAddress: c.MAC, IpAddress: c.Addresses}
			if c.Card != nil {
				if *c.Card < 0 || *c.Card >= len(own) {
					fault = fmt.Errorf("%s has no card %d", g.Name, *c.Card)
					return
				}
				card := own[*c.Card]
				nic.DeviceConfigId = card.Key
				if c.MAC == "" {
					nic.MacAddress = card.MacAddress
				}
			}
			nics = append(nics, nic)
		}
		ctx.Update(vm, []types.PropertyChange{{Name: "guest.net", Val: nics}})
	})
	return fault
}
