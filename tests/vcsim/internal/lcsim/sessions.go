package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// terminateSessions ends every session and returns how many there were.
func (s *Sim) terminateSessions() int {
	ctx := s.context()
	manager := ctx.Map.SessionManager()
	view := &simulator.Session{Registry: simulator.NewRegistry(), Map: ctx.Map}
	listed, ok := view.Get(manager.Self).(*simulator.SessionManager)
	if !ok {
		return 0
	}
	for _, session := range listed.SessionList {
		manager.TerminateSession(ctx, &types.TerminateSession{SessionId: []string{session.Key}})
	}
	return len(listed.SessionList)
}
