package lcsim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// bench is a simulator with a client logged in and the usual parent: a VM with
// one snapshot.
type bench struct {
	*testing.T
	ctx    context.Context
	server *Server
	client *govmomi.Client
	parent *object.VirtualMachine
	base   types.ManagedObjectReference // the parent's snapshot
}

const parentName = "DC0_H0_VM0"

func newBench(t *testing.T, change ...func(*simulator.Model, *Options)) *bench {
	t.Helper()
	model := simulator.VPX()
	model.Autostart = false
	opt := Options{Listen: "127.0.0.1:0", APIVersion: "8.0.3.0", Username: "user", Password: "pass", Control: true}
	for _, f := range change {
		f(model, &opt)
	}
	server, err := Start(model, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	b := &bench{T: t, ctx: t.Context(), server: server}
	b.client, err = govmomi.NewClient(b.ctx, server.URL, true)
	b.must(err)
	if server.registry().IsVPX() {
		b.parent = b.vm(parentName)
		b.base = b.snapshot(b.parent, "base")
	}
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) vm(name string) *object.VirtualMachine {
	b.Helper()
	vm, err := find.NewFinder(b.client.Client).VirtualMachine(b.ctx, "/*/vm/"+name)
	b.must(err)
	return vm
}

func (b *bench) exists(name string) bool {
	_, err := find.NewFinder(b.client.Client).VirtualMachine(b.ctx, "/*/vm/"+name)
	return err == nil
}

func (b *bench) snapshot(vm *object.VirtualMachine, name string) types.ManagedObjectReference {
	b.Helper()
	t, err := vm.CreateSnapshot(b.ctx, name, "", false, false)
	b.must(err)
	return b.result(t).(types.ManagedObjectReference)
}

func (b *bench) result(t *object.Task) types.AnyType {
	b.Helper()
	info, err := t.WaitForResult(b.ctx)
	b.must(err)
	return info.Result
}

func (b *bench) done(t *object.Task, err error) {
	b.Helper()
	b.must(err)
	b.must(t.Wait(b.ctx))
}

// linked is the spec of an ordinary linked clone.
func (b *bench) linked() types.VirtualMachineCloneSpec {
	return types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{DiskMoveType: moveNewChild}, Snapshot: &b.base,
	}
}

func (b *bench) submit(name string, spec types.VirtualMachineCloneSpec) *object.Task {
	b.Helper()
	folders, err := b.datacenter().Folders(b.ctx)
	b.must(err)
	t, err := b.parent.Clone(b.ctx, folders.VmFolder, name, spec)
	b.must(err)
	return t
}

func (b *bench) datacenter() *object.Datacenter {
	dc, err := find.NewFinder(b.client.Client).Datacenter(b.ctx, "DC0")
	b.must(err)
	return dc
}

func (b *bench) clone(name string, spec types.VirtualMachineCloneSpec) *object.VirtualMachine {
	b.Helper()
	ref := b.result(b.submit(name, spec)).(types.ManagedObjectReference)
	return object.NewVirtualMachine(b.client.Client, ref)
}

// refused clones and returns the fault that the task ends with.
func (b *bench) refused(name string, spec types.VirtualMachineCloneSpec) types.BaseMethodFault {
	b.Helper()
	return b.faultOf(b.submit(name, spec))
}

func (b *bench) faultOf(t *object.Task) types.BaseMethodFault {
	b.Helper()
	err := t.Wait(b.ctx)
	var failed task.Error
	if e, ok := err.(task.Error); ok {
		failed = e
	} else {
		b.Fatalf("the task ended with %v, not with a fault", err)
	}
	return failed.LocalizedMethodFault.Fault
}

func (b *bench) props(ref mo.Reference, paths ...string) mo.VirtualMachine {
	b.Helper()
	var out mo.VirtualMachine
	b.must(property.DefaultCollector(b.client.Client).RetrieveOne(b.ctx, ref.Reference(), paths, &out))
	return out
}

func (b *bench) disks(vm mo.Reference) []*types.VirtualDisk {
	b.Helper()
	return disksOf(b.props(vm, "config.hardware.device").Config.Hardware.Device)
}

// chain names the files of a VM's first disk, top first.
func (b *bench) chain(vm mo.Reference) []string {
	b.Helper()
	return namesOf(b.disks(vm)[0].Backing)
}

func namesOf(top backing) []string {
	var out []string
	for _, layer := range layers(top) {
		out = append(out, strings.TrimPrefix(vmdkOf(layer).FileName, "[LocalDS_0] "))
	}
	return out
}

func (b *bench) wantChain(vm mo.Reference, want ...string) {
	b.Helper()
	if got := b.chain(vm); !slices.Equal(got, want) {
		b.Errorf("chain is %q, want %q", got, want)
	}
}

func (b *bench) destroy(vm *object.VirtualMachine) {
	b.Helper()
	t, err := vm.Destroy(b.ctx)
	b.done(t, err)
}

// control calls the test-only API.
func (b *bench) control(method, path, body string, out any) int {
	b.Helper()
	u := url.URL{Scheme: b.server.URL.Scheme, Host: b.server.URL.Host}
	req, err := http.NewRequestWithContext(b.ctx, method, u.String()+"/_test/"+path, strings.NewReader(body))
	b.must(err)
	res, err := b.client.Client.Client.Transport.RoundTrip(req)
	b.must(err)
	defer res.Body.Close()
	if out != nil {
		b.must(json.NewDecoder(res.Body).Decode(out))
	}
	return res.StatusCode
}

func (b *bench) post(path, body string) {
	b.Helper()
	if status := b.control("POST", path, body, nil); status != http.StatusOK {
		b.Fatalf("POST %s %s: status %d", path, body, status)
	}
}

func (b *bench) files() []string {
	b.Helper()
	var names []string
	b.control("GET", "files", "", &names)
	return names
}

func (b *bench) hasFile(name string) bool {
	return slices.Contains(b.files(), "[LocalDS_0] "+name)
}

func wantFault[T types.BaseMethodFault](t testing.TB, fault types.BaseMethodFault) T {
	t.Helper()
	typed, ok := fault.(T)
	if !ok {
		t.Fatalf("fault is %T, want %T", fault, typed)
	}
	return typed
}

func wantInvalid(t testing.TB, fault types.BaseMethodFault, property string) {
	t.Helper()
	if got := wantFault[*types.InvalidArgument](t, fault).InvalidProperty; got != property {
		t.Errorf("invalidProperty is %q, want %q", got, property)
	}
}
