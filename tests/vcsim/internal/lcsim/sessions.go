package lcsim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// terminateSessions ends every session and returns how many there were.
func (s *Sim) terminateSessions() int {
	ctx := s.context()
	sessions := s.sessions()
	for _, session := range sessions {
		ctx.Map.SessionManager().TerminateSession(ctx, &types.TerminateSession{SessionId: []string{session.Key}})
	}
	return len(sessions)
}

// sessions lists who is logged in.
func (s *Sim) sessions() []types.UserSession {
	m := s.context().Map
	view := &simulator.Session{Registry: simulator.NewRegistry(), Map: m}
	listed, ok := view.Get(m.SessionManager().Self).(*simulator.SessionManager)
	if !ok {
		return nil
	}
	return listed.SessionList
}
