/* LD_PRELOAD: a disk that keeps what was synced, and nothing else. Whenever a file below the folder POWERCUT_OF is synced, its
   present content is copied to the folder POWERCUT_KEPT, in one step. After the death of the process that folder holds what a
   disk would hold after a power cut that lost every write since each file's last sync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void keep(int file) {
  const char *of = getenv("POWERCUT_OF"), *kept = getenv("POWERCUT_KEPT");
  char link[64], path[PATH_MAX], unfinished[PATH_MAX + 16], target[PATH_MAX], piece[65536];
  struct stat found;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0 || !of || !kept || fstat(file, &found) || !S_ISREG(found.st_mode)) return;
  path[length] = 0;
  if (strncmp(path, of, strlen(of)) != 0) return;
  snprintf(target, sizeof target, "%s/%s", kept, strrchr(path, '/') + 1);
  snprintf(unfinished, sizeof unfinished, "%s.unfinished", target);
  int copy = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (copy < 0) abort();
  off_t at = 0;
  for (ssize_t got; (got = pread(file, piece, sizeof piece, at)) > 0; at += got)
    if (write(copy, piece, got) != got) abort();
  close(copy);
  if (rename(unfinished, target)) abort();
}

static int sync_with(const char *name, int file) {
  int (*real)(int) = dlsym(RTLD_NEXT, name);
  int failed = real(file);
  if (!failed) keep(file);
  return failed;
}

int fsync(int file) { return sync_with("fsync", file); }

int fdatasync(int file) { return sync_with("fdatasync", file); }
