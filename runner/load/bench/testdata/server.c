// A server that streams as vLLM does, as fast as a socket goes or on a schedule, and says
// when every frame went to the socket. One thread, epoll.
//
//   server PORT CHUNKS GAP_US MODE TRACE
//
// MODE: flood (64 KB a send), even (streams spread over the gap), tick (all at once, as an
// engine's step sends them). At SIGTERM it writes TRACE: for each request its id (32 bytes),
// the number of frames and their times (CLOCK_REALTIME, ns), all int64.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKET_NS 100000LL
#define BLOCK 256

struct stream {
	int fd, sent, active, bucket, want_out;
	char id[32];
	int64_t *at;
	struct stream *next; // in its bucket
	char in[8192];
	int n;
	int64_t skip;        // bytes of a body still to come
	size_t done;         // flood: bytes of the block that are sent
};
struct done { char id[32]; int64_t n, *at; };

static int chunks, flood, tick;
static int64_t gap;
static char frame[2048], block[BLOCK * 512], tail[4096];
static size_t frame_n, block_n, tail_n;
static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
static struct stream **buckets;
static int n_buckets, n_streams;
static struct done *ended;
static int n_ended, cap_ended, ep;
static volatile sig_atomic_t stop;
static int64_t origin;

static int64_t now(clockid_t c) {
	struct timespec t;
	clock_gettime(c, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static void on_term(int s) { (void)s; stop = 1; }

static size_t chunk(char *to, const char *delta, const char *rest) {
	char data[1000];
	int n = snprintf(data, sizeof data, "data: {\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1795450103,\"model\":\"m\",\"choices\":[%s]%s}\n\n", delta, rest);
	return sprintf(to, "%x\r\n%s\r\n", n, data);
}
static void out(struct stream *s, const char *b, size_t n) {
	while (n > 0) {
		ssize_t w = send(s->fd, b, n, MSG_NOSIGNAL);
		if (w < 0 && errno == EAGAIN) continue; // small frames: the client is far behind
		if (w < 0) return;
		b += w; n -= w;
	}
}
static void finish(struct stream *s) {
	out(s, tail, tail_n);
	if (n_ended == cap_ended) {
		cap_ended = cap_ended ? cap_ended * 2 : 1024;
		ended = realloc(ended, cap_ended * sizeof *ended);
	}
	memcpy(ended[n_ended].id, s->id, 32);
	ended[n_ended].n = s->sent;
	ended[n_ended++].at = s->at;
	s->at = NULL;
	s->active = 0;
}
static void start(struct stream *s) {
	char role[2048];
	s->active = 1; s->sent = 0; s->done = 0;
	s->at = malloc(chunks * sizeof *s->at);
	out(s, head, sizeof head - 1);
	size_t n = chunk(role, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}", "");
	out(s, role, n);
	if (flood) {
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};
		epoll_ctl(ep, EPOLL_CTL_MOD, s->fd, &ev);
		return;
	}
	s->bucket = tick ? 0 : (int)((unsigned)n_streams++ * 2654435761u % (unsigned)n_buckets);
	s->next = buckets[s->bucket];
	buckets[s->bucket] = s;
}
static void pump(struct stream *s) { // flood: whole blocks of frames
	while (s->sent < chunks) {
		ssize_t w = send(s->fd, block + s->done, block_n - s->done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (w < 0) return;
		s->done += w;
		if (s->done < block_n) return;
		int64_t t = now(CLOCK_REALTIME);
		for (int i = 0; i < BLOCK && s->sent < chunks; i++) s->at[s->sent++] = t;
		s->done = 0;
	}
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
	epoll_ctl(ep, EPOLL_CTL_MOD, s->fd, &ev);
	finish(s);
}
static void request(struct stream *s) {
	ssize_t r;
	for (;;) {
		if (s->skip > 0) { // of a long body
			char sink[65536];
			r = recv(s->fd, sink, s->skip < (int64_t)sizeof sink ? s->skip : (int64_t)sizeof sink, MSG_DONTWAIT);
			if (r <= 0) goto closed;
			s->skip -= r;
			if (s->skip == 0) start(s);
			continue;
		}
		r = recv(s->fd, s->in + s->n, sizeof s->in - 1 - s->n, MSG_DONTWAIT);
		if (r <= 0) {
closed:
			if (r < 0 && errno == EAGAIN) return;
			close(s->fd);
			return; // s is not freed: an event of this round may still name it
		}
		s->n += r;
		s->in[s->n] = 0;
		char *e = strstr(s->in, "\r\n\r\n");
		if (!e) continue;
		char *id = strcasestr(s->in, "x-request-id: "), *cl = strcasestr(s->in, "content-length: ");
		memset(s->id, 0, 32);
		if (id) for (int i = 0; i < 31 && id[14 + i] > ' '; i++) s->id[i] = id[14 + i];
		int64_t body = cl ? atoll(cl + 16) : 0, have = s->in + s->n - (e + 4);
		if (have < body && (e + 4 - s->in) + body < (int64_t)sizeof s->in - 1) continue; // a short one is looked at
		if (have >= body && !memmem(e, have + 4, "\"stream\":true", 13)) { // the question whether it is ready
			static const char json[] = "{\"choices\":[{\"text\":\"a\",\"message\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";
			char answer[512];
			out(s, answer, snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", sizeof json - 1, json));
			s->n = 0;
			continue;
		}
		s->n = 0;
		s->skip = body - have;
		if (s->skip <= 0) { s->skip = 0; start(s); }
	}
}
static void step(int b) {
	struct stream **p = &buckets[b];
	while (*p) {
		struct stream *s = *p;
		s->at[s->sent++] = now(CLOCK_REALTIME);
		out(s, frame, frame_n);
		if (s->sent == chunks) { *p = s->next; finish(s); } else p = &s->next;
	}
}
int main(int argc, char **argv) {
	if (argc != 6) return 2;
	chunks = atoi(argv[2]); gap = atoll(argv[3]) * 1000;
	flood = !strcmp(argv[4], "flood"); tick = !strcmp(argv[4], "tick");
	struct rlimit lim;
	getrlimit(RLIMIT_NOFILE, &lim); lim.rlim_cur = lim.rlim_max; setrlimit(RLIMIT_NOFILE, &lim);
	prctl(PR_SET_TIMERSLACK, 1000);
	signal(SIGTERM, on_term);
	frame_n = chunk(frame, "{\"index\":0,\"delta\":{\"content\":\" token\"},\"logprobs\":null,\"finish_reason\":null}", "");
	if (flood) chunks = (chunks + BLOCK - 1) / BLOCK * BLOCK;
	for (int i = 0; i < BLOCK; i++) { memcpy(block + block_n, frame, frame_n); block_n += frame_n; }
	char usage[128];
	sprintf(usage, ",\"usage\":{\"prompt_tokens\":9,\"total_tokens\":%d,\"completion_tokens\":%d}", chunks + 9, chunks);
	tail_n = chunk(tail, "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}", "");
	tail_n += chunk(tail + tail_n, "", usage);
	tail_n += sprintf(tail + tail_n, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
	n_buckets = gap / BUCKET_NS; if (n_buckets < 1) n_buckets = 1;
	buckets = calloc(n_buckets, sizeof *buckets);

	int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(l, (void *)&a, sizeof a) || listen(l, 16384)) { perror("listen"); return 1; }
	ep = epoll_create1(0);
	struct epoll_event lev = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(ep, EPOLL_CTL_ADD, l, &lev);
	puts("ready"); fflush(stdout);
	origin = now(CLOCK_MONOTONIC);
	int64_t turn = 0;
	struct epoll_event ev[1024];
	while (!stop) {
		int wait = flood ? 100 : 0;
		int n = epoll_wait(ep, ev, 1024, wait);
		for (int i = 0; i < n; i++) {
			struct stream *s = ev[i].data.ptr;
			if (!s) {
				int fd;
				while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
					setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
					s = calloc(1, sizeof *s);
					s->fd = fd;
					struct epoll_event sev = {.events = EPOLLIN, .data.ptr = s};
					epoll_ctl(ep, EPOLL_CTL_ADD, fd, &sev);
				}
				continue;
			}
			if (flood && (ev[i].events & EPOLLOUT) && s->active) pump(s);
			if (ev[i].events & EPOLLIN) request(s);
		}
		if (flood) continue;
		int64_t t = now(CLOCK_MONOTONIC);
		if (t < origin + turn * BUCKET_NS) {
			int64_t left = origin + turn * BUCKET_NS - t;
			struct timespec ts = {0, left < 50000 ? left : 50000};
			nanosleep(&ts, NULL);
			continue;
		}
		step((int)(turn++ % n_buckets));
	}
	FILE *f = fopen(argv[5], "w");
	for (int i = 0; f && i < n_ended; i++) {
		fwrite(ended[i].id, 1, 32, f);
		fwrite(&ended[i].n, 8, 1, f);
		fwrite(ended[i].at, 8, ended[i].n, f);
	}
	return f ? fclose(f) : 1;
}
