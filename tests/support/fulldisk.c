/* LD_PRELOAD: a disk without room. While the file that FULL_DISK names is there, no regular file below the folder that this file
   holds the path of grows: whoever tries gets ENOSPC. What is there can be read and overwritten, as on a real disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below_full(int file) {
  const char *flag = getenv("FULL_DISK");
  char full[PATH_MAX], link[64], path[PATH_MAX];
  int named = flag ? open(flag, O_RDONLY | O_CLOEXEC) : -1;
  if (named < 0) return 0;
  ssize_t prefix = read(named, full, sizeof full);
  close(named);
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path);
  return prefix > 0 && length > prefix && path[prefix] == '/' && memcmp(path, full, prefix) == 0;
}

/* Whether `length` bytes at `at` (-1: where the file stands) do not fit. */
static int is_refused(int file, off_t at, size_t length) {
  int before = errno, refused = 0;
  struct stat found;
  if (length && !fstat(file, &found) && S_ISREG(found.st_mode)) {
    if (at < 0) at = fcntl(file, F_GETFL) & O_APPEND ? found.st_size : lseek(file, 0, SEEK_CUR);
    refused = at + (off_t)length > found.st_size && is_below_full(file);
  }
  errno = refused ? ENOSPC : before;
  return refused;
}

static size_t total(const struct iovec *pieces, int count) {
  size_t length = 0;
  for (int at = 0; at < count; at++) length += pieces[at].iov_len;
  return length;
}

ssize_t write(int file, const void *data, size_t length) {
  return is_refused(file, -1, length) ? -1 : REAL(write)(file, data, length);
}

ssize_t writev(int file, const struct iovec *pieces, int count) {
  return is_refused(file, -1, total(pieces, count)) ? -1 : REAL(writev)(file, pieces, count);
}

ssize_t pwrite(int file, const void *data, size_t length, off_t at) {
  return is_refused(file, at, length) ? -1 : REAL(pwrite)(file, data, length, at);
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t at) {
  return is_refused(file, at, length) ? -1 : REAL(pwrite64)(file, data, length, at);
}

ssize_t pwritev(int file, const struct iovec *pieces, int count, off_t at) {
  return is_refused(file, at, total(pieces, count)) ? -1 : REAL(pwritev)(file, pieces, count, at);
}

ssize_t pwritev64(int file, const struct iovec *pieces, int count, off64_t at) {
  return is_refused(file, at, total(pieces, count)) ? -1 : REAL(pwritev64)(file, pieces, count, at);
}

/* These return the error. */
int posix_fallocate(int file, off_t at, off_t length) {
  return is_refused(file, at, length) ? ENOSPC : REAL(posix_fallocate)(file, at, length);
}

int posix_fallocate64(int file, off64_t at, off64_t length) {
  return is_refused(file, at, length) ? ENOSPC : REAL(posix_fallocate64)(file, at, length);
}
