package lcsim

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	methodSearch    = "SearchDatastore_Task"
	methodSearchAll = "SearchDatastoreSubFolders_Task"
	configSize      = 2048
)

// browserMethods lists the files of a datastore: those of our store, which are
// on no disk, and those that the library or a client has put there.
type browserMethods struct {
	unlocked
	Self types.ManagedObjectReference
	sim  *Sim
}

// Reference implements mo.Reference.
func (m *browserMethods) Reference() types.ManagedObjectReference { return m.Self }

// SearchDatastoreTask lists one folder.
func (m *browserMethods) SearchDatastoreTask(ctx *simulator.Context, req *types.SearchDatastore_Task) soap.HasFault {
	return &methods.SearchDatastore_TaskBody{Res: &types.SearchDatastore_TaskResponse{
		Returnval: m.search(ctx, methodSearch, req.DatastorePath, req.SearchSpec),
	}}
}

// SearchDatastoreSubFoldersTask lists a folder and all below it.
func (m *browserMethods) SearchDatastoreSubFoldersTask(
	ctx *simulator.Context, req *types.SearchDatastoreSubFolders_Task,
) soap.HasFault {
	return &methods.SearchDatastoreSubFolders_TaskBody{Res: &types.SearchDatastoreSubFolders_TaskResponse{
		Returnval: m.search(ctx, methodSearchAll, req.DatastorePath, req.SearchSpec),
	}}
}

func (m *browserMethods) search(
	ctx *simulator.Context, method, where string, spec *types.HostDatastoreBrowserSearchSpec,
) types.ManagedObjectReference {
	ds := m.sim.browsedBy(m.Self)
	if spec == nil {
		spec = &types.HostDatastoreBrowserSearchSpec{}
	}
	return m.sim.startTask(ctx, work{
		method: method, id: descriptionID(method), entity: ds,
		run: func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
			folder := parsePath(where)
			if folder.Datastore != ds.Name {
				return nil, &types.InvalidDatastore{Name: folder.Datastore}
			}
			found := m.sim.searchFolders(ds, folder.Path, method == methodSearchAll, spec)
			if len(found) == 0 && folder.Path != "" {
				return nil, &types.FileNotFound{FileFault: types.FileFault{File: where}}
			}
			if method == methodSearchAll {
				return types.ArrayOfHostDatastoreBrowserSearchResults{HostDatastoreBrowserSearchResults: found}, nil
			}
			return found[0], nil
		},
	})
}

// browsedBy returns the datastore that a browser belongs to.
func (s *Sim) browsedBy(browser ref) *simulator.Datastore {
	for _, e := range s.registry().All("Datastore") {
		if ds, ok := e.(*simulator.Datastore); ok && ds.Browser == browser {
			return ds
		}
	}
	return nil
}

// storedFile is a file as a search shows it.
type storedFile struct {
	name    string // below the datastore
	size    int64
	changed time.Time
	primary bool  // not the extent of a descriptor that is there
	whole   int64 // of a descriptor: with its extent
}

// searchFolders lists the folders that have files of the wanted kind.
//
// FolderPath ends in a slash [fact: vs-search-results].
func (s *Sim) searchFolders(
	ds *simulator.Datastore, root string, below bool, spec *types.HostDatastoreBrowserSearchSpec,
) []types.HostDatastoreBrowserSearchResults {
	root = strings.Trim(root, "/")
	byFolder := map[string][]types.BaseFileInfo{}
	at := fileID{ds.Self.Value, "[" + ds.Name + "] " + root}
	if root == "" || s.disks.hasFolder(at.datastore, at.name) || s.host.lone && s.hasFolder(at) {
		byFolder[root] = nil
	}
	if s.host.lone && len(spec.Query) == 0 {
		inside, _ := os.ReadDir(s.realPath(at))
		for _, entry := range inside {
			if entry.IsDir() {
				folder := &types.FolderFileInfo{FileInfo: types.FileInfo{Path: entry.Name()}}
				byFolder[root] = append(byFolder[root], folder)
			}
		}
	}
	for _, file := range s.storedFiles(ds) {
		folder := strings.TrimPrefix(path.Dir(file.name), ".")
		inside := folder == root || below && (root == "" || strings.HasPrefix(folder, root+"/"))
		if inside && wanted(file, spec) {
			byFolder[folder] = append(byFolder[folder], infoOf(file, spec))
		}
	}
	var out []types.HostDatastoreBrowserSearchResults
	for folder, files := range byFolder {
		at := "[" + ds.Name + "] "
		if folder != "" {
			at += folder + "/"
		}
		out = append(out, types.HostDatastoreBrowserSearchResults{Datastore: &ds.Self, FolderPath: at, File: files})
	}
	slices.SortFunc(out, func(a, b types.HostDatastoreBrowserSearchResults) int {
		return strings.Compare(a.FolderPath, b.FolderPath)
	})
	return out
}

// storedFiles lists what lies on a datastore, in order.
func (s *Sim) storedFiles(ds *simulator.Datastore) []storedFile {
	known := map[string]storedFile{}
	add := func(id fileID, file storedFile) {
		if id.datastore == ds.Self.Value {
			file.name, file.changed = parsePath(id.name).Path, s.start
			known[file.name] = file
		}
	}
	s.disks.mu.Lock()
	for id, f := range s.disks.files {
		whole := int64(descriptorSize)
		if !f.bare {
			add(extentOf(id, *f), storedFile{size: f.size})
			whole += f.size
		}
		add(id, storedFile{size: descriptorSize, whole: whole, primary: true})
	}
	for id := range s.disks.configs {
		add(id, storedFile{size: configSize, primary: true})
	}
	for id, size := range s.disks.extents {
		add(id, storedFile{size: size, primary: true})
	}
	s.disks.mu.Unlock()
	for _, file := range uploaded(ds) {
		if _, ours := known[file.name]; !ours {
			known[file.name] = file
		}
	}
	out := make([]storedFile, 0, len(known))
	for _, file := range known {
		out = append(out, file)
	}
	slices.SortFunc(out, func(a, b storedFile) int { return strings.Compare(a.name, b.name) })
	return out
}

// uploaded lists the files that are on disk.
func uploaded(ds *simulator.Datastore) []storedFile {
	var out []storedFile
	_ = filepath.WalkDir(ds.Summary.Url, func(at string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		name := strings.TrimPrefix(strings.TrimPrefix(at, ds.Summary.Url), "/")
		if strings.HasSuffix(name, "-flat.vmdk") {
			return nil // made by the library beside its descriptors
		}
		out = append(out, storedFile{name: name, size: info.Size(), changed: info.ModTime(), primary: true})
		return nil
	})
	return out
}

// wanted tells whether a search asks for a file.
//
// A VmDiskFileQuery shows a disk's primary file alone, and an extent only once
// its descriptor is gone [fact: vs-search-results].
func wanted(file storedFile, spec *types.HostDatastoreBrowserSearchSpec) bool {
	name := path.Base(file.name)
	if len(spec.MatchPattern) > 0 && !slices.ContainsFunc(spec.MatchPattern, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	}) {
		return false
	}
	if len(spec.Query) == 0 {
		return true
	}
	return slices.ContainsFunc(spec.Query, func(query types.BaseFileQuery) bool {
		switch query.(type) {
		case *types.FileQuery:
			return true
		case *types.VmDiskFileQuery:
			return path.Ext(name) == ".vmdk" && file.primary
		case *types.VmConfigFileQuery:
			return path.Ext(name) == ".vmx"
		case *types.TemplateConfigFileQuery:
			return path.Ext(name) == ".vmtx"
		}
		return false
	})
}

// infoOf describes a file. The size of a disk asked for as a disk is that of
// its extents too [fact: vs-search-results].
func infoOf(file storedFile, spec *types.HostDatastoreBrowserSearchSpec) types.BaseFileInfo {
	asDisk := slices.ContainsFunc(spec.Query, func(query types.BaseFileQuery) bool {
		_, ok := query.(*types.VmDiskFileQuery)
		return ok
	})
	info := types.FileInfo{Path: path.Base(file.name)}
	if details := spec.Details; details != nil {
		if details.FileSize {
			info.FileSize = file.size
			if asDisk {
				info.FileSize = max(file.size, file.whole)
			}
		}
		if details.Modification {
			info.Modification = &file.changed
		}
	}
	switch {
	case path.Ext(file.name) == ".vmdk" && asDisk:
		return &types.VmDiskFileInfo{FileInfo: info}
	case path.Ext(file.name) == ".vmx":
		return &types.VmConfigFileInfo{FileInfo: info}
	}
	return &info
}
