// The least that an open-loop client can do: one thread, epoll, Poisson arrivals on
// connections that are open before.
//
//   open PORT RATE SECONDS
//
// Prints the lateness of its sends in ms: p50, p99, max.
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int *idle, n_idle, first, total, sent, cap; // idle is a ring
static int64_t *late, due;
static double rate;
static char req[512];
static int req_n;
static unsigned short seed[3] = {1, 2, 3};

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static int compare(const void *a, const void *b) {
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}
static void send_due(void) {
	int64_t t;
	while (sent < total && n_idle > 0 && (t = now()) >= due) {
		int fd = idle[first];
		first = (first + 1) % cap; n_idle--;
		late[sent++] = t - due;
		if (write(fd, req, req_n) != req_n) { perror("write"); exit(1); }
		due += (int64_t)(-log(1 - erand48(seed)) / rate * 1e9);
	}
}
int main(int argc, char **argv) {
	if (argc != 4) return 2;
	struct rlimit lim;
	getrlimit(RLIMIT_NOFILE, &lim); lim.rlim_cur = lim.rlim_max; setrlimit(RLIMIT_NOFILE, &lim);
	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	rate = atof(argv[2]); total = (int)(rate * atof(argv[3])); cap = (int)rate + 500;
	idle = calloc(cap, sizeof *idle); late = calloc(total, sizeof *late);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int ep = epoll_create1(0), one = 1, done = 0;
	for (int i = 0; i < cap; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (void *)&a, sizeof a)) { perror("connect"); return 1; }
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
		idle[n_idle++] = fd;
	}
	static const char body[] = "{\"model\":\"m\",\"messages\":[],\"stream\":true}";
	req_n = snprintf(req, sizeof req, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: x\r\nContent-Length: %zu\r\n\r\n%s", sizeof body - 1, body);
	due = now() + 100000000;
	static char buf[65536];
	struct epoll_event ev[512];
	while (done < total) {
		send_due();
		int64_t wait = sent < total ? due - now() : 100000000;
		if (wait < 0) wait = n_idle ? 0 : 1000000;
		struct timespec ts = {wait / 1000000000, wait % 1000000000};
		int k = epoll_pwait2(ep, ev, 512, &ts, NULL);
		for (int i = 0; i < k; i++) {
			ssize_t r = recv(ev[i].data.fd, buf, sizeof buf, MSG_DONTWAIT);
			if (r == 0 || (r < 0 && errno != EAGAIN)) { fprintf(stderr, "the server closed a connection\n"); return 1; }
			if (r >= 5 && !memcmp(buf + r - 5, "0\r\n\r\n", 5)) { done++; idle[(first + n_idle++) % cap] = ev[i].data.fd; }
			send_due();
		}
	}
	qsort(late, total, sizeof *late, compare);
	printf("%.4f %.4f %.4f\n", late[total / 2] / 1e6, late[(int)(total * 0.99)] / 1e6, late[total - 1] / 1e6);
	return 0;
}
