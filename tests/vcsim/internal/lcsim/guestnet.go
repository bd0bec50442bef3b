package lcsim

import (
	"cmp"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// guestIdentity is what a guest has been told of itself.
type guestIdentity struct {
	host, domain string
	dns, search  []string       // of the whole guest
	cards        []guestAddress // in the order of the hardware; missing ones are left as they are
}

// guestAddress is what one card gets; unset leaves it to DHCP.
type guestAddress struct {
	addresses []string // with prefix lengths
	gateways  []string
	dns       []string
	search    []string
}

// become shows an identity in guest.*. The caller holds the VM's lock.
func (s *Sim) become(ctx *simulator.Context, vm *simulator.VirtualMachine, who guestIdentity) {
	if who.host != "" {
		setGuestName(ctx, vm, who.host)
	}
	nics := deepCopy(vm.Guest.Net)
	stack := types.GuestStackInfo{DnsConfig: &types.NetDnsConfigInfo{
		HostName: vm.Guest.HostName, DomainName: who.domain, IpAddress: who.dns, SearchDomain: who.search,
	}}
	stack.IpRouteConfig = &types.NetIpRouteConfigInfo{}
	first := vm.Guest.IpAddress
	for i := range min(len(nics), len(who.cards)) {
		card := who.cards[i]
		if len(card.addresses) > 0 {
			setAddresses(&nics[i], card.addresses)
			if i == 0 {
				first = nics[0].IpAddress[0]
			}
		}
		if len(card.dns)+len(card.search) > 0 {
			nics[i].DnsConfig = &types.NetDnsConfigInfo{
				HostName: vm.Guest.HostName, DomainName: who.domain, IpAddress: card.dns, SearchDomain: card.search,
			}
		}
		for _, gateway := range card.gateways {
			stack.IpRouteConfig.IpRoute = append(stack.IpRouteConfig.IpRoute, defaultRoute(gateway, i))
		}
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest.net", Val: nics},
		{Name: "guest.ipStack", Val: []types.GuestStackInfo{stack}},
		{Name: "guest.ipAddress", Val: first},
		{Name: "summary.guest.ipAddress", Val: first},
	})
}

func setAddresses(nic *types.GuestNicInfo, addresses []string) {
	nic.IpAddress = nil
	nic.IpConfig = &types.NetIpConfigInfo{}
	for _, text := range addresses {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		nic.IpAddress = append(nic.IpAddress, prefix.Addr().String())
		nic.IpConfig.IpAddress = append(nic.IpConfig.IpAddress, types.NetIpConfigInfoIpAddress{
			IpAddress: prefix.Addr().String(), PrefixLength: int32(prefix.Bits()),
			State: string(types.NetIpConfigInfoIpAddressStatusPreferred),
		})
	}
}

func defaultRoute(gateway string, card int) types.NetIpRouteConfigInfoIpRoute {
	network := "0.0.0.0"
	if strings.Contains(gateway, ":") {
		network = "::"
	}
	return types.NetIpRouteConfigInfoIpRoute{
		Network: network,
		Gateway: types.NetIpRouteConfigInfoGateway{IpAddress: gateway, Device: strconv.Itoa(card)},
	}
}

// bySlot returns the cards' places in the hardware, in the order of the PCI bus.
//
// Without MAC addresses, entries go to the cards in the order of their PCI slots;
// new cards come last [fact: vs-cust-nic-order].
func bySlot(cards []*types.VirtualEthernetCard) []int {
	order := make([]int, len(cards))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(slotOf(cards[a]), slotOf(cards[b])) })
	return order
}

const noSlot = 1 << 20

func slotOf(card *types.VirtualEthernetCard) int32 {
	if slot, ok := card.SlotInfo.(*types.VirtualDevicePciBusSlotInfo); ok && slot.PciSlotNumber >= 0 {
		return slot.PciSlotNumber
	}
	return noSlot
}

// cardMatches says whether a `match` of network configuration v2 means card i.
// systemd calls a card in slot 192 ens192; without a slot it is eth0, eth1 here.
func cardMatches(match map[string]string, card *types.VirtualEthernetCard, i int) bool {
	if mac, told := match["macaddress"]; told {
		return strings.EqualFold(mac, card.MacAddress)
	}
	name := "eth" + strconv.Itoa(i)
	if slot := slotOf(card); slot != noSlot {
		name = "ens" + strconv.Itoa(int(slot))
	}
	fits, err := path.Match(match["name"], name)
	return err == nil && fits
}
