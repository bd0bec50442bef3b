package lcsim

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// fileID names a disk file.
//
// Files are compared by (datastore reference, path) [fact: vs-datastore-names].
type fileID struct {
	datastore string // reference value
	name      string // "[datastore] folder/file.vmdk"
}

func idOf(b backing) fileID {
	info := vmdkOf(b)
	id := fileID{name: info.FileName}
	if info.Datastore != nil {
		id.datastore = info.Datastore.Value
	}
	return id
}

func (f fileID) folder() string { return path.Dir(parsePath(f.name).Path) }

// diskFile is a virtual disk's file. No bytes are stored, only their number.
type diskFile struct {
	capacity int64
	size     int64
	hidden   fileID // parent of a native clone, which shows none in its backing
	parent   fileID // what the descriptor names as its parent
	bare     bool   // the extent was deleted, the descriptor is left
	uuid     string
	content  string // content id, as its own descriptor tells it
	version  int    // how often what hangs from it was pulled away by a write
	seen     int    // version of the parent that it was made over
}

// diskStore holds which disk files exist and which registered VMs use them.
type diskStore struct {
	mu    sync.Mutex
	files map[fileID]*diskFile
	gone  map[fileID]bool
	uses  map[types.ManagedObjectReference]map[fileID]bool
	users map[fileID]int
	tops  map[types.ManagedObjectReference][]fileID // what a VM writes to while it runs

	folders map[fileID]int // number of files; the name is that of the folder

	configs  map[fileID]bool // .vmx files
	configOf map[types.ManagedObjectReference]fileID
	extents  map[fileID]int64 // sizes of extents whose descriptor was deleted
}

func newDiskStore() *diskStore {
	return &diskStore{
		files: map[fileID]*diskFile{},
		gone:  map[fileID]bool{},
		uses:  map[types.ManagedObjectReference]map[fileID]bool{},
		users: map[fileID]int{},
		tops:  map[types.ManagedObjectReference][]fileID{},

		folders: map[fileID]int{},

		configs:  map[fileID]bool{},
		configOf: map[types.ManagedObjectReference]fileID{},
		extents:  map[fileID]int64{},
	}
}

func (s *diskStore) put(id fileID, f diskFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(id, f)
}

// add is put with the lock held.
func (s *diskStore) add(id fileID, f diskFile) {
	if s.files[id] == nil {
		s.folders[fileID{id.datastore, path.Dir(id.name)}]++
	}
	s.files[id] = &f
	delete(s.gone, id)
}

// adopt takes up a file that the library created, unless it was deleted before.
func (s *diskStore) adopt(id fileID, f diskFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[id] == nil && !s.gone[id] {
		s.add(id, f)
	}
}

func (s *diskStore) get(id fileID) (diskFile, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[id]
	if !ok {
		return diskFile{}, false
	}
	return *f, true
}

func (s *diskStore) grow(id fileID, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[id]; f != nil {
		f.size += bytes
	}
}

func (s *diskStore) remove(id fileID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[id] != nil {
		delete(s.files, id)
		s.folders[fileID{id.datastore, path.Dir(id.name)}]--
	}
	s.gone[id] = true
}

// setUses replaces what vm refers to; an empty list forgets the VM.
func (s *diskStore) setUses(vm types.ManagedObjectReference, ids, tops []fileID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.uses[vm] {
		if s.users[id]--; s.users[id] == 0 {
			delete(s.users, id)
		}
	}
	delete(s.uses, vm)
	s.tops[vm] = tops
	if len(ids) == 0 {
		delete(s.tops, vm)
		return
	}
	set := make(map[fileID]bool, len(ids))
	add := func(id fileID) {
		if !set[id] {
			set[id] = true
			s.users[id]++
		}
	}
	for _, id := range ids {
		add(id)
		for f := s.files[id]; f != nil && f.hidden.name != ""; f = s.files[f.hidden] {
			add(f.hidden)
		}
	}
	s.uses[vm] = set
}

func (s *diskStore) usesOf(vm types.ManagedObjectReference) []fileID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []fileID
	for id := range s.uses[vm] {
		out = append(out, id)
	}
	return out
}

// usedByOther tells whether a registered VM other than vm refers to the file.
func (s *diskStore) usedByOther(vm types.ManagedObjectReference, id fileID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.users[id]
	if s.uses[vm][id] {
		n--
	}
	return n > 0
}

func (s *diskStore) unused(id fileID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[id] == 0
}

// reserve creates the first free "stem.vmdk", "stem_1.vmdk", ... of a folder.
func (s *diskStore) reserve(datastore, folder, stem string, f diskFile) fileID {
	return s.reserveNamed(datastore, folder, f, func(n int) string {
		if n == 0 {
			return stem + ".vmdk"
		}
		return stem + "_" + strconv.Itoa(n) + ".vmdk"
	})
}

// reserveDelta creates the first free "stem-00000N.vmdk" of a folder.
func (s *diskStore) reserveDelta(datastore, folder, stem string, f diskFile) fileID {
	return s.reserveNamed(datastore, folder, f, func(n int) string {
		digits := strconv.Itoa(n + 1)
		return stem + "-" + strings.Repeat("0", max(0, 6-len(digits))) + digits + ".vmdk"
	})
}

func (s *diskStore) reserveNamed(datastore, folder string, f diskFile, name func(int) string) fileID {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := 0; ; n++ {
		id := fileID{datastore, folder + "/" + name(n)}
		if s.files[id] == nil {
			s.add(id, f)
			return id
		}
	}
}

// hasFolder tells whether any disk file lies in "[datastore] folder".
func (s *diskStore) hasFolder(datastore, folder string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folders[fileID{datastore, folder}] > 0
}

func (s *diskStore) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.files))
	for id := range s.files {
		out = append(out, id.name)
	}
	slices.Sort(out)
	return out
}

// deltaStem turns "[ds] a/b-000002.vmdk" into "b".
func deltaStem(name string) string {
	stem := strings.TrimSuffix(path.Base(name), ".vmdk")
	if i := len(stem) - 7; i > 0 && stem[i] == '-' && strings.Trim(stem[i+1:], "0123456789") == "" {
		return stem[:i]
	}
	return stem
}
