// How late this machine makes a program that does nothing but watch the clock: the floor of
// every client's lateness. It spins until each of the moments of a Poisson process while a child
// keeps the first core busy, as a server does; what it is late then, it did not run.
// usage: floor RATE SECONDS; prints p50, p99 and the greatest lateness in ms.
#define _GNU_SOURCE
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv) {
	if (argc < 3) return 2;
	double rate = atof(argv[1]);
	int n = rate * atof(argv[2]);
	double *late = malloc(n * sizeof *late);
	pid_t busy = fork();
	if (busy == 0) {
		cpu_set_t first;
		CPU_ZERO(&first);
		CPU_SET(0, &first);
		sched_setaffinity(0, sizeof first, &first);
		for (pid_t parent = getppid(); getppid() == parent;)
			for (volatile int i = 0; i < 1000000; i++) {}
		_exit(0);
	}
	srand48(1);
	double due = now();
	for (int i = 0; i < n; i++) {
		due += -log(1 - drand48()) / rate * 1e3;
		double t;
		while ((t = now()) < due) {}
		late[i] = t - due;
	}
	kill(busy, SIGKILL);
	qsort(late, n, sizeof *late, by_size);
	printf("%.3f %.3f %.3f\n", late[n / 2], late[n * 99L / 100], late[n - 1]);
	return 0;
}
