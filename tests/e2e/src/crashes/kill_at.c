/* Runs a program and kills it with SIGKILL at its n-th system call that writes outward or to
 * disk, before the kernel has done any of that call:
 *
 *     kill-at WHO N RECORD PROGRAM [ARGUMENTS...]
 *
 * WHO says whose calls are counted and who is killed: "all" (the program and its children),
 * "first" (the program alone) or "child" (its children alone). N is 0 to kill nobody. RECORD
 * is a file that holds how many calls were counted; where it is there already, counting goes
 * on from it, so that a program which is started again is counted on. After a kill it says at
 * which call, and that is "killed".
 *
 * The kernel stops such calls and tells this program (seccomp's user notification, Linux 5.5
 * and later). That needs neither ptrace nor root, sees every thread and calls that go round
 * the C library, and a sandbox that the program sets up for itself does not end it: of
 * several filters the kernel takes the strictest answer, and a notification is stricter than
 * to allow. It ends with 125 if the kernel (or a container) does not let it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* With a file descriptor as the first argument. */
#define WITH_FILE 1
/* The same, and standard output or error is no writing outward: that is the log. */
#define WITH_LOG 2

static const struct {
	int number;
	const char *name;
	int kind;
} CALLS[] = {
	{ SYS_write, "write", WITH_LOG },
	{ SYS_writev, "writev", WITH_LOG },
	{ SYS_pwrite64, "pwrite", WITH_FILE },
	{ SYS_pwritev, "pwritev", WITH_FILE },
	{ SYS_pwritev2, "pwritev2", WITH_FILE },
	{ SYS_sendto, "sendto", WITH_FILE },
	{ SYS_sendmsg, "sendmsg", WITH_FILE },
	{ SYS_sendmmsg, "sendmmsg", WITH_FILE },
	{ SYS_sendfile, "sendfile", WITH_FILE },
	{ SYS_fsync, "fsync", WITH_FILE },
	{ SYS_fdatasync, "fdatasync", WITH_FILE },
	{ SYS_ftruncate, "ftruncate", WITH_FILE },
	{ SYS_renameat, "rename", 0 },
	{ SYS_renameat2, "rename", 0 },
	{ SYS_unlinkat, "unlink", 0 },
	{ SYS_linkat, "link", 0 },
	{ SYS_mkdirat, "mkdir", 0 },
#ifdef SYS_rename
	{ SYS_rename, "rename", 0 },
	{ SYS_unlink, "unlink", 0 },
	{ SYS_link, "link", 0 },
	{ SYS_mkdir, "mkdir", 0 },
#endif
};
#define COUNT ((int)(sizeof(CALLS) / sizeof(CALLS[0])))

static volatile pid_t program;

static void pass_on(int signal)
{
	if (program > 0)
		kill(program, signal);
}

static void die(const char *what)
{
	fprintf(stderr, "kill-at: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* The kernel asks about these calls, and allows all others. */
static int listen_to_calls(void)
{
	struct sock_filter filter[COUNT * 2 + 2];
	int at = 0;

	filter[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						    offsetof(struct seccomp_data, nr));
	for (int i = 0; i < COUNT; i++) {
		filter[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							    (unsigned)CALLS[i].number, 0, 1);
		filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
							    SECCOMP_RET_USER_NOTIF);
	}
	filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog code = { (unsigned short)at, filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER, &code);
}

/* The process of a thread. */
static pid_t process_of(pid_t thread)
{
	char path[64], line[128];
	int id = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	FILE *file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %d", &id) == 1)
			break;
	fclose(file);
	return id;
}

/* What a file descriptor of a process is, as the kernel names it. */
static void name_of(pid_t process, int fd, char *name, size_t length)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)process, fd);
	ssize_t got = readlink(path, name, length - 1);
	name[got > 0 ? got : 0] = 0;
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "kill-at: WHO N RECORD PROGRAM [ARGUMENTS...]\n");
		return 125;
	}
	const char *who = argv[1], *record = argv[3];
	long last = atol(argv[2]), count = 0;
	FILE *file = fopen(record, "re");
	if (file) {
		if (fscanf(file, "%ld", &count) != 1)
			count = 0;
		fclose(file);
	}

	struct sigaction action = { .sa_handler = pass_on };
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);

	/* The child shares its table of files until it becomes the program: so this process has
	 * the kernel's listener, too. */
	volatile int *listener = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (listener == MAP_FAILED)
		die("mmap");
	*listener = -2;
	pid_t parent = getpid();
	program = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (program < 0)
		die("clone");
	if (program == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(125);
		int fd = listen_to_calls();
		*listener = fd;
		if (fd < 0)
			_exit(errno & 127);
		execvp(argv[4], argv + 4);
		_exit(126);
	}
	int status = 0, ended = 0;
	while (*listener == -2) {
		if (waitpid(program, &status, WNOHANG) == program) {
			ended = 1;
			break;
		}
		usleep(100);
	}
	if (*listener < 0) {
		if (!ended)
			waitpid(program, &status, 0);
		errno = WEXITSTATUS(status);
		die("the kernel does not tell of system calls here");
	}

	int killed = 0;
	struct pollfd waiting = { .fd = *listener, .events = POLLIN };
	for (;;) {
		int ready = poll(&waiting, 1, 50);
		if (!ended && waitpid(program, &status, WNOHANG) == program)
			ended = 1;
		if (ready < 0 && errno != EINTR)
			die("poll");
		if (ready <= 0)
			continue;
		/* Nobody is left who could ask. */
		if (!(waiting.revents & POLLIN))
			break;
		struct seccomp_notif asked;
		memset(&asked, 0, sizeof(asked));
		if (ioctl(*listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			die("receive");
		}
		int call = 0;
		while (call < COUNT - 1 && CALLS[call].number != asked.data.nr)
			call++;
		pid_t process = process_of((pid_t)asked.pid);
		char name[PATH_MAX] = "";
		int fd = (int)asked.data.args[0];
		int counts = 1;
		if (CALLS[call].kind) {
			name_of(process, fd, name, sizeof(name));
			/* Wakes another thread of the same process. */
			if (strstr(name, "[eventfd]") || !strncmp(name, "pipe:", 5))
				counts = 0;
			if (CALLS[call].kind == WITH_LOG && (fd == 1 || fd == 2))
				counts = 0;
		}
		int first = process == program;
		if ((!strcmp(who, "first") && !first) || (!strcmp(who, "child") && first))
			counts = 0;
		count += counts;
		if (counts && !killed && last > 0 && count == last) {
			killed = 1;
			file = fopen(record, "we");
			if (file) {
				fprintf(file, "%ld killed: %s %s of %s\n", count, CALLS[call].name,
					name, first ? "the program" : "its child");
				fclose(file);
			}
			char path[64];
			int child;
			snprintf(path, sizeof(path), "/proc/%d/task", (int)program);
			/* The children of any of its threads, before they hear of its end. */
			if (!strcmp(who, "all")) {
				char all[PATH_MAX];
				snprintf(all, sizeof(all), "cat %s/*/children", path);
				kill(program, SIGSTOP);
				FILE *children = popen(all, "r");
				while (children && fscanf(children, "%d", &child) == 1)
					kill(child, SIGKILL);
				if (children)
					pclose(children);
				kill(program, SIGKILL);
			} else {
				kill(process, SIGKILL);
			}
			continue;
		}
		struct seccomp_notif_resp answer = {
			.id = asked.id,
			.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
		};
		/* Whoever asked may be gone. */
		ioctl(*listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
	if (!ended)
		waitpid(program, &status, 0);
	if (!killed) {
		file = fopen(record, "we");
		if (file) {
			fprintf(file, "%ld\n", count);
			fclose(file);
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
