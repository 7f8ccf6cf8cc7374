// The peer of the HTTP server's tests and benchmarks: a server that behaves as the original is described to.
//
// LISTEN_ADDR is the address, DEPLOY_CMD the command. /deploy, whatever the method, waits for its turn, runs the
// command and sends what it says, a line at a time; every other path is answered with 404 and an empty body.
package main

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
)

type dispatcher struct {
	command string
	turn    sync.Mutex
}

// ServeHTTP answers a request.
func (d *dispatcher) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if request.URL.Path != "/deploy" {
		answer.WriteHeader(http.StatusNotFound)
		return
	}
	d.deploy(answer)
}

func (d *dispatcher) deploy(answer http.ResponseWriter) {
	d.turn.Lock()
	defer d.turn.Unlock()
	reader, writer, err := os.Pipe()
	if err != nil {
		log.Print(err)
		return
	}
	defer reader.Close()
	// Standard output and standard error share a pipe, which keeps their order.
	command := exec.Command(d.command)
	command.Stdout, command.Stderr = writer, writer
	err = command.Start()
	writer.Close()
	if err != nil {
		log.Print(err)
		return
	}
	pass(bufio.NewReader(reader), answer)
	if err := command.Wait(); err != nil {
		log.Print(err)
	}
}

// pass sends each line as soon as it is there, to the caller and to the log.
func pass(lines *bufio.Reader, answer http.ResponseWriter) {
	flusher, _ := answer.(http.Flusher)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			log.Print(line)
			// A caller who hung up changes nothing: the command goes on.
			_, _ = io.WriteString(answer, line)
			flusher.Flush()
		}
		if err != nil {
			return
		}
	}
}

func main() {
	d := &dispatcher{command: os.Getenv("DEPLOY_CMD")}
	listener, err := net.Listen("tcp", os.Getenv("LISTEN_ADDR"))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("Listening on http://%s", listener.Addr())
	log.Fatal(http.Serve(listener, d))
}
