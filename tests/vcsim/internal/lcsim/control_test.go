package lcsim

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func TestCallsAreCountedFromTheWire(t *testing.T) {
	b := newBench(t)
	b.post("calls/reset", "")
	b.clone("desk", b.linked())
	var counts map[string]int
	b.control("GET", "calls", "", &counts)
	if counts[methodClone] != 1 || counts["Login"] != 0 {
		t.Errorf("counts are %v", counts)
	}
	var bodies []string
	b.control("GET", "requests?method=CloneVM_Task", "", &bodies)
	if len(bodies) != 1 || !strings.Contains(bodies[0], moveNewChild) {
		t.Errorf("requests are %q", bodies)
	}
	var log []loggedCall
	b.control("GET", "log", "", &log)
	if len(log) == 0 || log[0].This == "" {
		t.Errorf("log is %v", log)
	}
}

func TestFaultsStrikeWhereTheyAreToldTo(t *testing.T) {
	b := newBench(t)
	b.post("faults", `{"method":"CloneVM_Task","name":"two","fault":"NoDiskSpace","at":"task","properties":{"datastore":"ssd1"}}`)
	b.clone("one", b.linked())
	f := wantFault[*types.NoDiskSpace](t, b.refused("two", b.linked()))
	if f.Datastore != "ssd1" || b.exists("two") {
		t.Errorf("fault is %+v", f)
	}
	b.clone("two", b.linked()) // it struck once

	b.post("faults", `{"method":"CloneVM_Task","name":"half","fault":"SystemError","leave":true,"message":"disk on fire"}`)
	wantFault[*types.SystemError](t, b.refused("half", b.linked()))
	if !b.exists("half") {
		t.Error("nothing was left behind")
	}

	b.post("faults", `{"method":"PowerOnVM_Task","name":"one","fault":"InsufficientFailoverResourcesFault"}`)
	task, err := b.vm("one").PowerOn(b.ctx)
	b.must(err)
	wantFault[*types.InsufficientFailoverResourcesFault](t, b.faultOf(task))

	b.post("faults", `{"method":"PowerOnVM_Task","fault":"TaskInProgress","at":"call"}`)
	if _, err = b.vm("one").PowerOn(b.ctx); !soap.IsSoapFault(err) {
		t.Errorf("the call returned %v", err)
	} else if _, ok := soap.ToSoapFault(err).VimFault().(types.TaskInProgress); !ok {
		t.Errorf("the call returned %v", err)
	}
	if status := b.control("POST", "faults", `{"method":"X","fault":"NoSuchThing"}`, nil); status != http.StatusBadRequest {
		t.Errorf("an unknown fault gave status %d", status)
	}
}

func TestAFailedPowerOnLeavesAGoodClone(t *testing.T) {
	b := newBench(t)
	b.post("faults", `{"method":"CloneVM_Task","name":"desk","fault":"InsufficientFailoverResourcesFault","at":"poweron"}`)
	spec := b.linked()
	spec.PowerOn = true
	wantFault[*types.InsufficientFailoverResourcesFault](t, b.refused("desk", spec))
	task, err := b.vm("desk").PowerOn(b.ctx)
	b.done(task, err)
}

func TestCloneModesTestTheProof(t *testing.T) {
	b := newBench(t)
	b.post("clone-mode", `{"mode":"degrade","count":1}`)
	b.wantChain(b.clone("one", b.linked()), "one/one.vmdk")
	b.post("clone-mode", `{"mode":"native","count":1}`)
	native := b.clone("two", b.linked())
	b.wantChain(native, "two/two.vmdk")
	if hidden := b.disks(native)[0].NativeUnmanagedLinkedClone; hidden == nil || !*hidden {
		t.Error("a native clone does not say so")
	}
	b.wantChain(b.clone("three", b.linked()), "three/three.vmdk", "DC0_H0_VM0/disk1.vmdk")
	b.destroy(b.parent)
	b.destroy(b.vm("three"))
	if !b.hasFile("DC0_H0_VM0/disk1.vmdk") {
		t.Error("a hidden parent is not protected")
	}
}

func TestADroppedAnswerHidesACallThatWasDone(t *testing.T) {
	b := newBench(t)
	b.post("drop", `{"method":"CloneVM_Task","count":1,"after":true}`)
	folders, err := b.datacenter().Folders(b.ctx)
	b.must(err)
	if _, err = b.parent.Clone(b.ctx, folders.VmFolder, "desk", b.linked()); err == nil {
		t.Fatal("the call was answered")
	}
	time.Sleep(100 * time.Millisecond)
	wantFault[*types.DuplicateName](t, b.refused("desk", b.linked()))
}

func TestMissingPrivilegesAreSeenAndEnforced(t *testing.T) {
	b := newBench(t)
	b.post("privileges", `{"missing":["VirtualMachine.Provisioning.Clone"]}`)
	manager := *b.client.ServiceContent.AuthorizationManager
	res, err := methods.HasPrivilegeOnEntities(b.ctx, b.client, &types.HasPrivilegeOnEntities{
		This: manager, Entity: []types.ManagedObjectReference{b.parent.Reference()}, SessionId: "x",
		PrivId: []string{"VirtualMachine.Provisioning.Clone", "VirtualMachine.Interact.PowerOn"},
	})
	b.must(err)
	granted := res.Returnval[0].PrivAvailability
	if granted[0].IsGranted || !granted[1].IsGranted {
		t.Errorf("availability is %+v", granted)
	}
	folders, err := b.datacenter().Folders(b.ctx)
	b.must(err)
	if _, err = b.parent.Clone(b.ctx, folders.VmFolder, "desk", b.linked()); !soap.IsSoapFault(err) {
		t.Errorf("the call returned %v", err)
	}
}

func TestOnlyTheRightPasswordLogsIn(t *testing.T) {
	b := newBench(t)
	wrong := *b.server.URL
	wrong.User = url.UserPassword("user", "guess")
	_, err := govmomi.NewClient(b.ctx, &wrong, true)
	if !soap.IsSoapFault(err) {
		t.Fatalf("login returned %v", err)
	}
	if _, ok := soap.ToSoapFault(err).VimFault().(types.InvalidLogin); !ok {
		t.Errorf("login returned %v", err)
	}
}

func TestATerminatedSessionIsNotAuthenticated(t *testing.T) {
	b := newBench(t)
	b.post("sessions/terminate", "")
	_, err := b.parent.PowerState(b.ctx)
	if !soap.IsSoapFault(err) {
		t.Fatalf("reading returned %v", err)
	}
	if _, ok := soap.ToSoapFault(err).VimFault().(types.NotAuthenticated); !ok {
		t.Errorf("reading returned %v", err)
	}
}

func TestPropertiesComeInPagesOfAHundred(t *testing.T) {
	b := newBench(t, func(m *simulator.Model, _ *Options) { m.Machine = 120 })
	v, err := view.NewManager(b.client.Client).CreateContainerView(b.ctx, b.client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	b.must(err)
	request := func(max int32) *types.RetrieveResult {
		t.Helper()
		res, err := methods.RetrievePropertiesEx(b.ctx, b.client, &types.RetrievePropertiesEx{
			This: b.client.ServiceContent.PropertyCollector,
			SpecSet: []types.PropertyFilterSpec{{
				PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"name"}}},
				ObjectSet: []types.ObjectSpec{{Obj: v.Reference(), Skip: types.NewBool(true), SelectSet: []types.BaseSelectionSpec{v.TraversalSpec()}}},
			}},
			Options: types.RetrieveOptions{MaxObjects: max},
		})
		b.must(err)
		return res.Returnval
	}
	for wish, want := range map[int32]int{0: 100, 500: 100, 30: 30} {
		if page := request(wish); len(page.Objects) != want || page.Token == "" {
			t.Errorf("maxObjects %d gave %d objects, token %q", wish, len(page.Objects), page.Token)
		}
	}
	first := request(0)
	total := len(first.Objects)
	for token := first.Token; token != ""; {
		next, err := methods.ContinueRetrievePropertiesEx(b.ctx, b.client, &types.ContinueRetrievePropertiesEx{
			This: b.client.ServiceContent.PropertyCollector, Token: token,
		})
		b.must(err)
		total += len(next.Returnval.Objects)
		token = next.Returnval.Token
	}
	if total != 240 {
		t.Errorf("the pages hold %d objects, want 240", total)
	}
	cancel := func(token string) error {
		_, err := methods.CancelRetrievePropertiesEx(b.ctx, b.client, &types.CancelRetrievePropertiesEx{
			This: b.client.ServiceContent.PropertyCollector, Token: token,
		})
		return err
	}
	token := request(0).Token
	b.must(cancel(token))
	if cancel(token) == nil {
		t.Error("a token can be cancelled twice")
	}
}

func TestGuestsReportWhenToldTo(t *testing.T) {
	b := newBench(t)
	b.post("guest", `{"tools_ms":10,"ip_ms":20}`)
	spec := b.linked()
	spec.PowerOn = true
	vm := b.clone("desk", spec)
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	ip, err := vm.WaitForIP(ctx)
	if err != nil || ip == "" {
		t.Errorf("ip %q, %v", ip, err)
	}
}

func TestTheControlPathIsOffUnlessAskedFor(t *testing.T) {
	b := newBench(t, func(_ *simulator.Model, o *Options) { o.Control = false })
	if status := b.control("GET", "calls", "", nil); status != http.StatusNotFound {
		t.Errorf("status is %d", status)
	}
}

func TestAStoredSpecificationIsThere(t *testing.T) {
	b := newBench(t)
	manager := *b.client.ServiceContent.CustomizationSpecManager
	exists, err := methods.DoesCustomizationSpecExist(b.ctx, b.client, &types.DoesCustomizationSpecExist{This: manager, Name: "vcsim-linux"})
	b.must(err)
	item, err := methods.GetCustomizationSpec(b.ctx, b.client, &types.GetCustomizationSpec{This: manager, Name: "vcsim-linux"})
	b.must(err)
	if !exists.Returnval || item.Returnval.Spec.Identity == nil {
		t.Error("vcsim-linux cannot be read")
	}
}

func TestARecursiveTraversalVisitsEachObjectOnce(t *testing.T) {
	b := newBench(t)
	again := func(names ...string) []types.BaseSelectionSpec {
		var out []types.BaseSelectionSpec
		for _, name := range names {
			out = append(out, &types.SelectionSpec{Name: name})
		}
		return out
	}
	all := again("parent", "datastore")
	res, err := methods.RetrievePropertiesEx(b.ctx, b.client, &types.RetrievePropertiesEx{
		This: b.client.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{{
			PropSet: []types.PropertySpec{{Type: "ManagedEntity", PathSet: []string{"name"}}},
			ObjectSet: []types.ObjectSpec{{
				Obj: b.parent.Reference(),
				SelectSet: []types.BaseSelectionSpec{
					&types.TraversalSpec{SelectionSpec: types.SelectionSpec{Name: "parent"}, Type: "ManagedEntity", Path: "parent", SelectSet: all},
					&types.TraversalSpec{SelectionSpec: types.SelectionSpec{Name: "datastore"}, Type: "VirtualMachine", Path: "datastore", SelectSet: all},
				},
			}},
		}},
	})
	b.must(err)
	seen := map[types.ManagedObjectReference]int{}
	for _, o := range res.Returnval.Objects {
		seen[o.Obj]++
	}
	// VM, its folder, datacenter and root; the datastore and its folder.
	if len(seen) != 6 || len(res.Returnval.Objects) != 6 {
		t.Errorf("found %v", seen)
	}
}
