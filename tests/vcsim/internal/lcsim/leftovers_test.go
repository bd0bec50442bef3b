package lcsim

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func (b *bench) datastore() *object.Datastore {
	b.Helper()
	for _, e := range b.server.registry().All("Datastore") {
		ds := object.NewDatastore(b.client.Client, e.Reference())
		ds.InventoryPath = "/DC0/datastore/" + e.Entity().Name
		ds.DatacenterPath = "/DC0"
		return ds
	}
	b.Fatal("no datastore")
	return nil
}

// search lists the files that a query finds, with their sizes.
func (b *bench) search(queries ...types.BaseFileQuery) map[string]int64 {
	b.Helper()
	browser, err := b.datastore().Browser(b.ctx)
	b.must(err)
	task, err := browser.SearchDatastoreSubFolders(b.ctx, "[LocalDS_0]", &types.HostDatastoreBrowserSearchSpec{
		Query: queries, Details: &types.FileQueryFlags{FileSize: true}, MatchPattern: []string{"*.vmdk", "*.vmx"},
	})
	b.must(err)
	found := map[string]int64{}
	for _, folder := range b.result(task).(types.ArrayOfHostDatastoreBrowserSearchResults).HostDatastoreBrowserSearchResults {
		if !strings.HasSuffix(folder.FolderPath, " ") && !strings.HasSuffix(folder.FolderPath, "/") {
			b.Errorf("folder path %q", folder.FolderPath)
		}
		for _, file := range folder.File {
			info := file.GetFileInfo()
			found[strings.TrimPrefix(folder.FolderPath, "[LocalDS_0] ")+info.Path] = info.FileSize
		}
	}
	return found
}

func (b *bench) deleteFile(name string) *object.Task {
	b.Helper()
	task, err := object.NewFileManager(b.client.Client).DeleteDatastoreFile(b.ctx, "[LocalDS_0] "+name, b.datacenter())
	b.must(err)
	return task
}

// get reads a file the way that clients do.
func (b *bench) get(path string, cookies bool) (int, string) {
	b.Helper()
	u := url.URL{Scheme: b.server.URL.Scheme, Host: b.server.URL.Host, Path: folderPrefix + path}
	u.RawQuery = url.Values{"dcPath": {"DC0"}, "dsName": {"LocalDS_0"}}.Encode()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, u.String(), nil)
	b.must(err)
	if cookies {
		for _, cookie := range b.client.Client.Jar.Cookies(&u) {
			req.AddCookie(cookie)
		}
	}
	res, err := b.client.Client.Client.Transport.RoundTrip(req)
	b.must(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.must(err)
	return res.StatusCode, string(body)
}

func (b *bench) orphan(vm string) string {
	b.Helper()
	var out struct{ File string }
	b.control("POST", "files/orphan", `{"name":"`+vm+`"}`, &out)
	return strings.TrimPrefix(out.File, "[LocalDS_0] ")
}

func TestASearchForDisksShowsPrimaryFilesWithTheSizeOfTheirExtents(t *testing.T) {
	b := newBench(t)
	b.clone("desk", b.linked())
	disks := b.search(&types.VmDiskFileQuery{}, &types.VmConfigFileQuery{})
	if disks["desk/desk.vmdk"] != deltaSize+descriptorSize || disks["desk/desk.vmx"] == 0 {
		t.Errorf("found %v", disks)
	}
	if _, shown := disks["desk/desk-delta.vmdk"]; shown {
		t.Error("the extent is shown")
	}
	every := b.search()
	if every["desk/desk.vmdk"] != descriptorSize || every["desk/desk-delta.vmdk"] != deltaSize {
		t.Errorf("found %v", every)
	}
}

func TestUnregisteringLeavesTheFilesAndWhatTheyHangFrom(t *testing.T) {
	b := newBench(t)
	vm := b.clone("desk", b.linked())
	b.must(vm.Unregister(b.ctx))
	found := b.search()
	for _, name := range []string{"desk/desk.vmx", "desk/desk.vmdk", "desk/desk-delta.vmdk"} {
		if _, there := found[name]; !there {
			t.Errorf("%s is gone", name)
		}
	}
	_, text := b.get("desk/desk.vmdk", true)
	if !strings.Contains(text, "/DC0_H0_VM0/disk1.vmdk\"") || !strings.Contains(text, `"desk-delta.vmdk"`) {
		t.Errorf("descriptor: %s", text)
	}
}

func TestDestroyingTakesTheConfigAlong(t *testing.T) {
	b := newBench(t)
	b.destroy(b.clone("desk", b.linked()))
	for name := range b.search() {
		if strings.HasPrefix(name, "desk/") {
			t.Errorf("%s is left", name)
		}
	}
}

func TestFilesAreReadWithASessionAndThePrivilegeOnly(t *testing.T) {
	b := newBench(t)
	if status, _ := b.get("DC0_H0_VM0/disk1.vmdk", false); status != http.StatusUnauthorized {
		t.Errorf("without a session: %d", status)
	}
	if status, _ := b.get("DC0_H0_VM0/none.vmdk", true); status != http.StatusNotFound {
		t.Errorf("absent: %d", status)
	}
	b.post("privileges", `{"missing":["Datastore.FileManagement"]}`)
	if status, _ := b.get("DC0_H0_VM0/disk1.vmdk", true); status != http.StatusForbidden {
		t.Errorf("without the privilege: %d", status)
	}
}

func TestAnOrphanHangsFromTheVMAndBelongsToNobody(t *testing.T) {
	b := newBench(t)
	vm := b.clone("desk", b.linked())
	orphan := b.orphan("desk")
	if orphan != "desk/desk-000001.vmdk" || !b.hasFile(orphan) {
		t.Fatalf("orphan %q", orphan)
	}
	_, text := b.get(orphan, true)
	if !strings.Contains(text, `parentFileNameHint="desk.vmdk"`) {
		t.Errorf("descriptor: %s", text)
	}
	b.wantChain(vm, "desk/desk.vmdk", "DC0_H0_VM0/disk1.vmdk")
}

func TestDeletingAFileTakesThatFileAlone(t *testing.T) {
	b := newBench(t)
	b.clone("desk", b.linked())
	orphan := b.orphan("desk")
	extent := strings.TrimSuffix(orphan, ".vmdk") + "-delta.vmdk"
	b.must(b.deleteFile(orphan).Wait(b.ctx))
	disks := b.search(&types.VmDiskFileQuery{})
	if _, there := disks[extent]; !there || b.hasFile(orphan) {
		t.Fatalf("left: %v", disks)
	}
	b.must(b.deleteFile(extent).Wait(b.ctx))
	if _, there := b.search()[extent]; there {
		t.Error("the extent is left")
	}
	wantFault[*types.FileNotFound](t, b.faultOf(b.deleteFile(orphan)))
	if !b.hasFile("desk/desk.vmdk") || !b.hasFile("DC0_H0_VM0/disk1.vmdk") {
		t.Errorf("more is gone: %q", b.files())
	}
}

func TestARunningVMHoldsItsFiles(t *testing.T) {
	b := newBench(t)
	spec := b.linked()
	spec.PowerOn = true
	b.clone("desk", spec)
	wantFault[*types.FileLocked](t, b.faultOf(b.deleteFile("desk/desk-delta.vmdk")))
}

func TestAFileDeletionCanBeMadeToFail(t *testing.T) {
	b := newBench(t)
	b.clone("desk", b.linked())
	b.post("faults", `{"method":"DeleteDatastoreFile_Task","name":"[LocalDS_0] desk/desk.vmdk","fault":"FileLocked"}`)
	wantFault[*types.FileLocked](t, b.faultOf(b.deleteFile("desk/desk.vmdk")))
	b.must(b.deleteFile("desk/desk.vmdk").Wait(b.ctx))
}

func TestAHostCanLoseADatastore(t *testing.T) {
	b := newBench(t)
	b.post("hosts/unmount", `{"host":"DC0_C0_H1","datastore":"LocalDS_0"}`)
	for _, e := range b.server.registry().All("HostSystem") {
		var host mo.HostSystem
		b.must(property.DefaultCollector(b.client.Client).RetrieveOne(b.ctx, e.Reference(), []string{"datastore"}, &host))
		if sees := len(host.Datastore) > 0; sees == (e.Entity().Name == "DC0_C0_H1") {
			t.Errorf("%s sees %v", e.Entity().Name, host.Datastore)
		}
	}
}
