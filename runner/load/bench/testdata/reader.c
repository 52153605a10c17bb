// The least that a client can do: epoll, recv, count the frames by their sizes.
//
//   reader PORT STREAMS
//
// Prints the frames and its own CPU time in µs (user and system), from the first request on.
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <errno.h>

struct conn { int fd, state; long left, size; };
enum { HEAD, SIZE, DATA, END };
static long frames;

static double cpu(void) {
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return r.ru_utime.tv_sec * 1e6 + r.ru_utime.tv_usec + r.ru_stime.tv_sec * 1e6 + r.ru_stime.tv_usec;
}
static int feed(struct conn *c, const char *b, long n) { // 1: the answer has ended
	const char *e = b + n;
	while (b < e) switch (c->state) {
	case HEAD: { // it comes in one piece from this server
		const char *p = memmem(b, e - b, "\r\n\r\n", 4);
		if (!p) return 0;
		b = p + 4; c->state = SIZE; c->size = 0;
		break;
	}
	case SIZE: {
		char ch = *b++;
		if (ch == '\n') {
			if (c->size == 0) { c->state = END; c->left = 2; }
			else { c->state = DATA; c->left = c->size + 2; }
		} else if (ch != '\r') c->size = c->size * 16 + (ch <= '9' ? ch - '0' : ch - 'a' + 10);
		break;
	}
	default: {
		long k = e - b < c->left ? e - b : c->left;
		b += k; c->left -= k;
		if (c->left == 0) {
			if (c->state == END) return 1;
			frames++; c->state = SIZE; c->size = 0;
		}
	}
	}
	return 0;
}
int main(int argc, char **argv) {
	if (argc != 3) return 2;
	struct rlimit lim;
	getrlimit(RLIMIT_NOFILE, &lim); lim.rlim_cur = lim.rlim_max; setrlimit(RLIMIT_NOFILE, &lim);
	int n = atoi(argv[2]), ep = epoll_create1(0), left = n;
	struct conn *cs = calloc(n, sizeof *cs);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	for (int i = 0; i < n; i++) {
		cs[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(cs[i].fd, (void *)&a, sizeof a)) { perror("connect"); return 1; }
		struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = &cs[i]};
		epoll_ctl(ep, EPOLL_CTL_ADD, cs[i].fd, &ev);
	}
	static const char body[] = "{\"model\":\"m\",\"messages\":[],\"stream\":true}";
	double before = cpu();
	for (int i = 0; i < n; i++) {
		char req[512];
		int k = snprintf(req, sizeof req, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Request-Id: %d\r\nContent-Length: %zu\r\n\r\n%s", i, sizeof body - 1, body);
		if (write(cs[i].fd, req, k) != k) return 1;
	}
	static char buf[65536];
	struct epoll_event ev[512];
	while (left > 0) {
		int k = epoll_wait(ep, ev, 512, -1);
		for (int i = 0; i < k; i++) {
			struct conn *c = ev[i].data.ptr;
			for (;;) {
				ssize_t r = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
				if (r <= 0) { if (r == 0 || errno != EAGAIN) return 1; break; }
				if (feed(c, buf, r)) left--;
				if (r < (ssize_t)sizeof buf) break;
			}
		}
	}
	printf("%ld %.0f\n", frames, cpu() - before);
	return 0;
}
