/* Kernel-bound loops for bench/run.py. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void forkexec(void) {
  for (int i = 0; i < 600; ++i) {
    const pid_t pid = fork();
    if (pid < 0) die("fork");
    if (!pid) {
      execl("/usr/bin/true", "true", (char*)0);
      _exit(127);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status) die("status");
  }
}

static void forks(void) {
  for (int i = 0; i < 3000; ++i) {
    const pid_t pid = fork();
    if (pid < 0) die("fork");
    if (!pid) _exit(0);
    waitpid(pid, 0, 0);
  }
}

static void getpids(void) {
  for (int i = 0; i < 2000000; ++i) syscall(SYS_getppid);
}

static void pipes(void) {
  int fd[2];
  char buffer[512];
  if (pipe(fd)) die("pipe");
  memset(buffer, 7, sizeof buffer);
  for (int i = 0; i < 500000; ++i)
    if (write(fd[1], buffer, sizeof buffer) != sizeof buffer || read(fd[0], buffer, sizeof buffer) != sizeof buffer) die("pipe");
}

static void faults(void) {
  const size_t size = 16 << 20;
  for (int r = 0; r < 40; ++r) {
    char* p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) die("mmap");
    madvise(p, size, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < size; i += 4096) p[i] = 1;
    munmap(p, size);
  }
}

static void switches(void) {
  int there[2], back[2];
  char c = 'x';
  if (pipe(there) || pipe(back)) die("pipe");
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  sched_setaffinity(0, sizeof one, &one);
  const pid_t pid = fork();
  if (!pid) {
    while (read(there[0], &c, 1) == 1 && c == 'x')
      if (write(back[1], &c, 1) != 1) break;
    _exit(0);
  }
  for (int i = 0; i < 100000; ++i)
    if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1) die("switch");
  c = 'q';
  if (write(there[1], &c, 1) != 1) die("switch");
  waitpid(pid, 0, 0);
}

static void files(void) {
  char name[64], buffer[1000];
  memset(buffer, 'a', sizeof buffer);
  if (mkdir("/dev/shm/files", 0700)) die("mkdir");
  for (int r = 0; r < 8; ++r) {
    for (int i = 0; i < 4000; ++i) {
      snprintf(name, sizeof name, "/dev/shm/files/f%d", i);
      const int fd = open(name, O_CREAT | O_RDWR, 0600);
      if (fd < 0 || write(fd, buffer, sizeof buffer) != sizeof buffer) die(name);
      close(fd);
      struct stat st;
      if (stat(name, &st) || st.st_size != sizeof buffer) die("stat");
    }
    for (int i = 0; i < 4000; ++i) {
      snprintf(name, sizeof name, "/dev/shm/files/f%d", i);
      if (unlink(name)) die("unlink");
    }
  }
  rmdir("/dev/shm/files");
}

int main(int argc, char** argv) {
  const struct { const char* name; void (*run)(void); } all[] = {
      {"forkexec", forkexec}, {"fork", forks}, {"getpid", getpids}, {"pipe", pipes},
      {"fault", faults},      {"switch", switches}, {"files", files}};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
    if (argc > 1 && !strcmp(argv[1], all[i].name)) {
      all[i].run();
      printf("%s done\n", all[i].name);
      return 0;
    }
  return 2;
}
