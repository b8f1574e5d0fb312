// The process of a pod's sandbox: it holds the namespaces, reaps what the pod's processes leave
// behind when they share its process namespace, and ends when it is told to.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	// One is started for every pod.
	runtime.GOMAXPROCS(1)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}
