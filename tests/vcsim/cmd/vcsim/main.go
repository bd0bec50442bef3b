// Command vcsim is govmomi's vCenter simulator, taught linked clones.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/vmware/govmomi/simulator"

	"linkedclone/tests/vcsim/internal/lcsim"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vcsim:", err)
		os.Exit(1)
	}
}

func run() error {
	debug.SetGCPercent(400) // an inventory is small, and many simulators are short-lived
	model, opt, verbose, err := parse(os.Args[1:])
	if err != nil {
		return err
	}
	if !verbose {
		log.SetOutput(io.Discard) // the library logs every fault it answers
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	server, err := lcsim.Start(model, opt)
	if err != nil {
		return err
	}
	fmt.Printf("export GOVC_URL=%s\nexport GOVC_SIM_PID=%d\n", server.URL, os.Getpid())
	<-stop
	return server.Close()
}

func parse(args []string) (*simulator.Model, lcsim.Options, bool, error) {
	var opt lcsim.Options
	taskDelay := taskDelays{}
	f := flag.NewFlagSet("vcsim", flag.ExitOnError)
	esx := f.Bool("esx", false, "simulate a single ESXi host instead of a vCenter")
	verbose := f.Bool("v", false, "log to standard error")
	useTLS := f.Bool("tls", true, "serve HTTPS")

	f.StringVar(&opt.Listen, "l", "127.0.0.1:0", "listen address; port 0 lets the kernel choose")
	f.StringVar(&opt.APIVersion, "api-version", "8.0.3.0", "API version to announce")
	f.StringVar(&opt.Username, "username", "user", "the only user that may log in")
	f.StringVar(&opt.Password, "password", "pass", "that user's password")
	f.StringVar(&opt.CertFile, "tlscert", "", "PEM certificate to serve (default: self-signed for loopback)")
	f.StringVar(&opt.KeyFile, "tlskey", "", "PEM key of -tlscert")
	f.StringVar(&opt.CertOut, "cert-out", "", "file to write the served certificate to, as PEM")
	f.StringVar(&opt.LoadDir, "load", "", "folder of an inventory saved with govc object.save")
	f.StringVar(&opt.StateDir, "state", "", "folder to keep the inventory in from one start to the next")
	f.BoolVar(&opt.Control, "control", false, "serve the test-only paths below /_test/")
	f.IntVar(&opt.CallDelayMS, "delay", 0, "milliseconds that each call takes")
	f.IntVar(&opt.Clones, "clones", 0, "linked clones per resource pool, besides its VMs")
	f.Var(taskDelay, "task-delay", "milliseconds a task takes: CloneVM_Task:2000,PowerOnVM_Task:500")
	f.Func("template", "mark this VM as a template (repeatable)", func(name string) error {
		opt.Templates = append(opt.Templates, name)
		return nil
	})

	shape := simulator.VPX()
	f.IntVar(&shape.Datacenter, "dc", shape.Datacenter, "datacenters")
	f.IntVar(&shape.Cluster, "cluster", shape.Cluster, "clusters per datacenter")
	f.IntVar(&shape.ClusterHost, "host", shape.ClusterHost, "hosts per cluster")
	f.IntVar(&shape.Host, "standalone-host", shape.Host, "standalone hosts per datacenter")
	f.IntVar(&shape.Pool, "pool", shape.Pool, "resource pools per cluster")
	f.IntVar(&shape.Datastore, "ds", shape.Datastore, "datastores per datacenter")
	f.IntVar(&shape.Machine, "vm", shape.Machine, "VMs per resource pool")
	f.IntVar(&shape.Folder, "folder", shape.Folder, "datacenters to place within folders")
	f.IntVar(&shape.Portgroup, "pg", shape.Portgroup, "distributed port groups per datacenter")
	f.IntVar(&shape.Pod, "pod", shape.Pod, "storage pods per datacenter")
	f.IntVar(&shape.App, "app", shape.App, "vApps per cluster")
	f.BoolVar(&shape.Autostart, "autostart", false, "power the model's VMs on")
	if err := f.Parse(args); err != nil {
		return nil, opt, false, err
	}
	if f.NArg() > 0 {
		return nil, opt, false, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	opt.NoTLS = !*useTLS
	opt.TaskDelayMS = taskDelay
	if *esx {
		host := simulator.ESX()
		host.Autostart, host.Machine, host.Datastore = shape.Autostart, shape.Machine, shape.Datastore
		shape = host
	}
	return shape, opt, *verbose, nil
}

// taskDelays is the -task-delay flag.
type taskDelays map[string]int

func (d taskDelays) String() string { return "" }

func (d taskDelays) Set(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		name, ms, ok := strings.Cut(part, ":")
		n, err := strconv.Atoi(ms)
		if !ok || err != nil || n < 0 {
			return fmt.Errorf("%q is not METHOD:MILLISECONDS", part)
		}
		d[name] = n
	}
	return nil
}
