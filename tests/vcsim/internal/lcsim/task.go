package lcsim

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// work describes a long call.
type work struct {
	method     string    // API name, "CloneVM_Task": TaskInfo.name
	id         string    // TaskInfo.descriptionId, "VirtualMachine.clone"
	entity     mo.Entity // TaskInfo.entity
	cancelable bool
	// check runs at once, before the task takes its time: refusals come early.
	check func(*simulator.Context) types.BaseMethodFault
	// run does the work after the delay and locks what it touches itself.
	run func(*simulator.Context) (types.AnyType, types.BaseMethodFault)
	// end runs whatever happened.
	end func()
}

// startTask registers a task and runs it in the background. No lock is held
// while the task waits, and a client that vanishes does not stop it.
func (s *Sim) startTask(ctx *simulator.Context, w work) types.ManagedObjectReference {
	ctx = ctx.For(vim25.Path) // a context of its own: locks are shared by context
	task := &simulator.Task{}
	task.Self = types.ManagedObjectReference{
		Type: "Task", Value: fmt.Sprintf("task-lc%d", s.serial.Add(1)),
	}
	ref := w.entity.Reference()
	now := time.Now()
	task.Info = types.TaskInfo{
		Key:           task.Self.Value,
		Task:          task.Self,
		Name:          w.method,
		DescriptionId: w.id,
		Entity:        &ref,
		EntityName:    w.entity.Entity().Name,
		State:         types.TaskInfoStateQueued,
		Cancelable:    w.cancelable,
		Reason:        &types.TaskReasonUser{UserName: userOf(ctx)},
		QueueTime:     now,
		EventChainId:  int32(s.serial.Load()),
	}
	// TaskManager lists it in recentTask, and the entity does too.
	ctx.WithLock(w.entity, func() { ctx.Map.Put(task) })
	s.setTask(ctx, task, map[string]types.AnyType{
		"info.startTime": now, "info.state": types.TaskInfoStateRunning,
	})
	go s.runTask(ctx, task, w)
	return task.Self
}

func (s *Sim) runTask(ctx *simulator.Context, task *simulator.Task, w work) {
	result, fault := s.perform(ctx, task, w)
	if w.end != nil {
		w.end()
	}
	done := map[string]types.AnyType{"info.completeTime": time.Now()}
	if fault != nil {
		done["info.error"] = types.LocalizedMethodFault{Fault: fault, LocalizedMessage: faultMessage(fault)}
		done["info.state"] = types.TaskInfoStateError
	} else {
		done["info.result"] = result
		done["info.progress"] = int32(100)
		done["info.state"] = types.TaskInfoStateSuccess
	}
	s.setTask(ctx, task, done)
}

func (s *Sim) perform(
	ctx *simulator.Context, task *simulator.Task, w work,
) (types.AnyType, types.BaseMethodFault) {
	if w.check != nil {
		if fault := w.check(ctx); fault != nil {
			return nil, fault
		}
	}
	const steps = 4
	for step := range steps {
		if s.delays.waitTask(w.method, steps) {
			s.setTask(ctx, task, map[string]types.AnyType{"info.progress": int32(20 * (step + 1))})
		}
		if s.cancelled(ctx, task) {
			return nil, &types.RequestCanceled{}
		}
	}
	s.working.RLock()
	defer s.working.RUnlock()
	return w.run(ctx)
}

func (s *Sim) cancelled(ctx *simulator.Context, task *simulator.Task) (yes bool) {
	ctx.WithLock(task, func() { yes = task.Info.Cancelled })
	return yes
}

// setTask publishes changes of a task. A cancelled one keeps its end state.
func (s *Sim) setTask(ctx *simulator.Context, task *simulator.Task, set map[string]types.AnyType) {
	changes := make([]types.PropertyChange, 0, len(set))
	// The state comes last: who sees the end must also see result and error.
	for _, name := range []string{
		"info.startTime", "info.progress", "info.completeTime", "info.result", "info.error", "info.state",
	} {
		if val, ok := set[name]; ok && val != nil {
			changes = append(changes, types.PropertyChange{Name: name, Val: val})
		}
	}
	ctx.WithLock(task, func() {
		if !task.Info.Cancelled {
			ctx.Update(task, changes)
		}
	})
}

func userOf(ctx *simulator.Context) string {
	if ctx.Session == nil {
		return ""
	}
	return ctx.Session.UserName
}
