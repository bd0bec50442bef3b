package lcsim

import (
	"path"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// expandTraversal replaces the traversal of a property read by the objects it
// leads to. The library does not look at TraversalSpec.type and follows
// recursive selections for ever where the inventory has circles (a datastore's
// parents lead to its datacenter, which leads to its datastores); vCenter takes
// only the named type and visits an object once.
func expandTraversal(ctx *simulator.Context, m *simulator.Method) {
	switch req := m.Body.(type) {
	case *types.RetrievePropertiesEx:
		expandSpecs(ctx, req.SpecSet)
	case *types.RetrieveProperties:
		expandSpecs(ctx, req.SpecSet)
	}
}

func expandSpecs(ctx *simulator.Context, specs []types.PropertyFilterSpec) {
	for i := range specs {
		spec := &specs[i]
		t := traversal{ctx: ctx, named: map[string]*types.TraversalSpec{}, done: map[step]bool{}, listed: map[ref]bool{}}
		for _, root := range spec.ObjectSet {
			if len(root.SelectSet) == 0 {
				t.list(root.Obj)
				continue
			}
			if ctx.Session.Get(root.Obj) == nil || !t.name(root.SelectSet) {
				return // the library words the fault
			}
			if root.Skip == nil || !*root.Skip {
				t.list(root.Obj)
			}
			t.follow(root.Obj, root.SelectSet)
		}
		if len(t.done) == 0 {
			continue // nothing was traversed
		}
		spec.ObjectSet = spec.ObjectSet[:0:0]
		for _, obj := range t.out {
			spec.ObjectSet = append(spec.ObjectSet, types.ObjectSpec{Obj: obj})
		}
		// What vanishes from here on was there when it was found.
		spec.ReportMissingObjectsInResults = types.NewBool(true)
	}
}

type traversal struct {
	ctx    *simulator.Context
	named  map[string]*types.TraversalSpec
	done   map[step]bool
	listed map[ref]bool
	out    []ref
}

// step is one selection at one object.
type step struct {
	at   ref
	spec *types.TraversalSpec
}

// name collects the named selections; it reports false if one that is referred
// to by name does not exist.
func (t *traversal) name(set []types.BaseSelectionSpec) bool {
	t.collect(set)
	return t.resolves(set)
}

func (t *traversal) collect(set []types.BaseSelectionSpec) {
	for _, s := range set {
		if spec, ok := s.(*types.TraversalSpec); ok {
			if spec.Name != "" {
				t.named[spec.Name] = spec
			}
			t.collect(spec.SelectSet)
		}
	}
}

func (t *traversal) resolves(set []types.BaseSelectionSpec) bool {
	for _, s := range set {
		spec := t.spec(s)
		if spec == nil {
			return false
		}
		if full, ok := s.(*types.TraversalSpec); ok && !t.resolves(full.SelectSet) {
			return false
		}
	}
	return true
}

func (t *traversal) spec(s types.BaseSelectionSpec) *types.TraversalSpec {
	if full, ok := s.(*types.TraversalSpec); ok {
		return full
	}
	return t.named[s.GetSelectionSpec().Name]
}

func (t *traversal) list(obj ref) {
	if !t.listed[obj] {
		t.listed[obj] = true
		t.out = append(t.out, obj)
	}
}

func (t *traversal) follow(at ref, set []types.BaseSelectionSpec) {
	for _, s := range set {
		spec := t.spec(s)
		here := step{at, spec}
		if spec == nil || t.done[here] {
			continue
		}
		t.done[here] = true
		for _, next := range t.refs(at, spec) {
			if spec.Skip == nil || !*spec.Skip {
				t.list(next)
			}
			t.follow(next, spec.SelectSet)
		}
	}
}

// refs reads the references at a path of an object, if it is of the wanted type.
func (t *traversal) refs(at ref, spec *types.TraversalSpec) []ref {
	obj := t.ctx.Session.Get(at)
	if obj == nil {
		return nil
	}
	var out []ref
	t.ctx.WithLock(at, func() {
		val, ok := managedObject(obj)
		if !ok || !isKind(val.Type(), at.Type, spec.Type) {
			return
		}
		out = refsAt(val, strings.Split(spec.Path, "."))
	})
	return out
}

// managedObject digs the API's part out of the library's object.
func managedObject(obj mo.Reference) (reflect.Value, bool) {
	val := reflect.ValueOf(obj).Elem()
	for path.Base(val.Type().PkgPath()) != "mo" {
		if val.Kind() != reflect.Struct || val.NumField() == 0 {
			return val, false
		}
		val = val.Field(0)
		if val.Kind() == reflect.Pointer {
			val = val.Elem()
		}
	}
	return val, true
}

func isKind(kind reflect.Type, have, want string) bool {
	if want == "" || want == have || want == kind.Name() {
		return true
	}
	base, ok := kind.FieldByName(want)
	return ok && base.Anonymous
}

func refsAt(val reflect.Value, names []string) []ref {
	for val.Kind() == reflect.Pointer || val.Kind() == reflect.Interface {
		if val.IsNil() {
			return nil
		}
		val = val.Elem()
	}
	if len(names) == 0 {
		switch v := val.Interface().(type) {
		case ref:
			return []ref{v}
		case []ref:
			return append([]ref(nil), v...)
		}
		return nil
	}
	switch val.Kind() {
	case reflect.Slice:
		var out []ref
		for i := range val.Len() {
			out = append(out, refsAt(val.Index(i), names)...)
		}
		return out
	case reflect.Struct:
		name := names[0]
		if name == "" {
			return nil
		}
		if field := val.FieldByName(strings.ToUpper(name[:1]) + name[1:]); field.IsValid() {
			return refsAt(field, names[1:])
		}
	}
	return nil
}
