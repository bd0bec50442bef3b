package lcsim

import (
	"crypto/tls"
	"net/url"
	"os"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// The library copies each host's configuration through XML, which is most of what a start costs:
// these parts of it are read by no client of ours.
func init() {
	esx.AdvancedOptions = esx.AdvancedOptions[:1]
	config := &esx.HostConfigInfo
	config.Service, config.Firewall, config.Vmotion = nil, nil, nil
	config.VirtualNicManagerInfo = &types.HostVirtualNicManagerInfo{}
	config.PowerSystemCapability, config.IoFilterInfo = nil, nil
	config.Certificate, config.FileSystemVolume = nil, nil
	config.StorageDevice = &types.HostStorageDeviceInfo{}
	network := config.Network
	config.Network = &types.HostNetworkInfo{Vnic: network.Vnic[:1], Portgroup: network.Portgroup}
}

// Options says what to simulate.
type Options struct {
	Listen     string // "127.0.0.1:0": the kernel chooses the port
	APIVersion string
	Username   string
	Password   string
	Templates  []string // VMs of the model to mark as templates
	Control    bool     // serve the test-only paths

	CallDelayMS int
	TaskDelayMS map[string]int

	NoTLS             bool
	CertFile, KeyFile string // own certificate; both or none
	CertOut           string // where to write the served certificate

	Clones  int    // linked clones to make per resource pool
	LoadDir string // inventory saved by `govc object.save`

	StateDir string // where the inventory is kept from one start to the next
}

// Server is a running simulator.
type Server struct {
	*Sim
	URL  *url.URL // with credentials
	http *simulator.Server
}

// Start builds the inventory and serves it.
func Start(model *simulator.Model, opt Options) (*Server, error) {
	if opt.APIVersion != "" {
		model.ServiceContent.About.ApiVersion = opt.APIVersion
	}
	model.ServiceContent.About.FullName += " (simulator)" // nobody takes it for a real one
	machines := model.Machine
	if machines > 1 && opt.LoadDir == "" {
		model.Machine = 1 // the others come from populate
	}
	var err error
	if opt.LoadDir != "" {
		err = model.Load(opt.LoadDir)
	} else {
		err = model.Create()
	}
	if err != nil {
		return nil, err
	}
	s := newSim(model, opt)
	service := model.Service
	// Credentials of our own make the library compare them.
	service.Listen = &url.URL{Host: opt.Listen, User: url.UserPassword(opt.Username, opt.Password)}
	if !opt.NoTLS {
		certificate, err := s.certificate()
		if err != nil {
			return nil, err
		}
		service.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, GetConfigForClient: s.awaitReady}
	}
	server := service.NewServer()
	server.Config.Handler = s.front(server.Config.Handler)
	service.Context.Map.AddHandler(&watcher{sim: s})
	service.Context.Map.Handler = s.dispatch
	s.dressAll()
	s.dressHost()
	restored := false
	if opt.StateDir != "" {
		restored, err = s.restore(opt.StateDir)
	}
	if opt.LoadDir == "" && err == nil && !restored {
		err = s.populate(machines, model.Autostart)
	}
	if err == nil && !restored {
		err = s.addFamilies(opt.Clones)
	}
	for _, name := range opt.Templates {
		if err == nil && !restored {
			err = s.markTemplate(s.context(), name)
		}
	}
	if err != nil {
		server.Close()
		return nil, err
	}
	close(s.ready)
	return &Server{Sim: s, URL: server.URL, http: server}, nil
}

// awaitReady holds clients back until the inventory is there: the library
// listens before that, and a client that waits for a restart asks at once.
func (s *Sim) awaitReady(*tls.ClientHelloInfo) (*tls.Config, error) {
	<-s.ready
	return nil, nil
}

func (s *Sim) certificate() (tls.Certificate, error) {
	var c tls.Certificate
	var err error
	if s.opt.CertFile != "" {
		c, err = tls.LoadX509KeyPair(s.opt.CertFile, s.opt.KeyFile)
	} else if s.opt.StateDir != "" {
		c, err = keptCertificate(s.opt.StateDir)
	} else {
		c, err = newCertificate()
	}
	if err == nil && s.opt.CertOut != "" {
		err = os.WriteFile(s.opt.CertOut, certificatePEM(c), 0o644)
	}
	return c, err
}

// Close stops serving at once, saves the inventory if it is to be kept, and
// removes the temporary files.
func (s *Server) Close() error {
	var err error
	_ = s.http.Config.Close() // open connections too: nobody waits for pollers
	if s.opt.StateDir != "" {
		err = s.save(s.opt.StateDir)
	}
	s.model.Remove()
	return err
}
