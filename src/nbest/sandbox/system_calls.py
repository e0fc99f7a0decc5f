"""Numbers of the system calls that a sandboxed program may use, for the machines that nbest knows.

From the kernel's own tables (asm/unistd_64.h for x86_64, asm-generic/unistd.h for aarch64). Standard library only.
"""

CONDITIONAL = (
    "socketpair",
    "sendto",
    "open",
    "openat",
    "ioctl",
    "fcntl",
    "kill",
    "tkill",
    "tgkill",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "execve",
    "prctl",
    "prlimit64",
)
"""Calls that depend on their arguments: `confinement.py` says how. All others are allowed as they are."""

_TABLES = {
    "x86_64": """
    read=0 write=1 close=3 fstat=5 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12 rt_sigaction=13 rt_sigprocmask=14
    rt_sigreturn=15 pread64=17 pwrite64=18 readv=19 writev=20 preadv=295 pwritev=296 preadv2=327 pwritev2=328
    pipe=22 pipe2=293 select=23 pselect6=270 poll=7 ppoll=271 epoll_create1=291 epoll_ctl=233 epoll_wait=232
    epoll_pwait=281 sched_yield=24 mremap=25 msync=26 mincore=27 madvise=28 dup=32 dup2=33 dup3=292 nanosleep=35
    clock_nanosleep=230 getitimer=36 setitimer=38 alarm=37 pause=34 getpid=39 gettid=186 getppid=110 getpgrp=111
    getpgid=121 getsid=124 getuid=102 geteuid=107 getgid=104 getegid=108 getresuid=118 getresgid=120 getgroups=115
    fcntl=72 flock=73 fsync=74 fdatasync=75 ftruncate=77 fallocate=285 getdents64=217 getcwd=79 chdir=80
    fchdir=81 rename=82 renameat=264 renameat2=316 mkdir=83 mkdirat=258 rmdir=84 unlink=87 unlinkat=263 symlink=88
    symlinkat=266 readlink=89 readlinkat=267 umask=95 gettimeofday=96 getrlimit=97 getrusage=98
    sysinfo=99 times=100 sigaltstack=131 statfs=137 fstatfs=138 arch_prctl=158 futex=202 sched_getaffinity=204
    sched_getscheduler=145 sched_getparam=143 sched_get_priority_max=146 sched_get_priority_min=147
    set_tid_address=218 exit=60 exit_group=231 open=2 openat=257 newfstatat=262 stat=4 lstat=6 access=21
    faccessat=269 faccessat2=439 clock_gettime=228 clock_getres=229 set_robust_list=273 get_robust_list=274
    getrandom=318 rseq=334 membarrier=324 statx=332 uname=63 close_range=436 eventfd2=290 timer_create=222
    timer_settime=223 timer_gettime=224 timer_delete=226 getpriority=140 getcpu=309 restart_syscall=219 recvfrom=45
    shutdown=48 getsockname=51 getpeername=52 getsockopt=55 wait4=61 waitid=247 rt_sigpending=127
    rt_sigtimedwait=128 rt_sigsuspend=130 fadvise64=221 time=201 socketpair=53 sendto=44 ioctl=16 kill=62 tkill=200
    tgkill=234 clone=56 clone3=435 fork=57 vfork=58 execve=59 prctl=157 prlimit64=302
    """,
    "aarch64": """
    read=63 write=64 close=57 fstat=80 lseek=62 mmap=222 mprotect=226 munmap=215 brk=214 rt_sigaction=134
    rt_sigprocmask=135 rt_sigreturn=139 pread64=67 pwrite64=68 readv=65 writev=66 preadv=69 pwritev=70 preadv2=286
    pwritev2=287 pipe2=59 pselect6=72 ppoll=73 epoll_create1=20 epoll_ctl=21 epoll_pwait=22 sched_yield=124
    mremap=216 msync=227 mincore=232 madvise=233 dup=23 dup3=24 nanosleep=101 clock_nanosleep=115 getitimer=102
    setitimer=103 getpid=172 gettid=178 getppid=173 getpgid=155 getsid=156 getuid=174 geteuid=175 getgid=176
    getegid=177 getresuid=148 getresgid=150 getgroups=158 fcntl=25 flock=32 fsync=82 fdatasync=83 ftruncate=46
    fallocate=47 getdents64=61 getcwd=17 chdir=49 fchdir=50 renameat=38 renameat2=276 mkdirat=34
    unlinkat=35 symlinkat=36 readlinkat=78 umask=166 gettimeofday=169 getrlimit=163 getrusage=165
    sysinfo=179 times=153 sigaltstack=132 statfs=43 fstatfs=44 futex=98 sched_getaffinity=123 sched_getscheduler=120
    sched_getparam=121 sched_get_priority_max=125 sched_get_priority_min=126 set_tid_address=96 exit=93
    exit_group=94 openat=56 faccessat=48 faccessat2=439 clock_gettime=113 clock_getres=114 set_robust_list=99
    get_robust_list=100 getrandom=278 rseq=293 membarrier=283 statx=291 uname=160 close_range=436 eventfd2=19
    timer_create=107 timer_settime=110 timer_gettime=108 timer_delete=111 getpriority=141 getcpu=168
    restart_syscall=128 recvfrom=207 shutdown=210 getsockname=204 getpeername=205 getsockopt=209 wait4=260 waitid=95
    rt_sigpending=136 rt_sigtimedwait=137 rt_sigsuspend=133 fadvise64=223 socketpair=199 sendto=206 ioctl=29
    kill=129 tkill=130 tgkill=131 clone=220 clone3=435 execve=221 prctl=167 prlimit64=261 newfstatat=79
    """,
}


def system_calls(machine):
    """Return the number of every call by name, for `os.uname().machine`; KeyError for a machine without a table."""
    return {name: int(number) for name, _, number in (entry.partition("=") for entry in _TABLES[machine].split())}
