// tries: Have the kernel write a record of every process that ends into a file of ours (acct).
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    close(open("/accounts", O_CREAT | O_RDWR, 0600));
    must("acct", syscall(SYS_acct, "/accounts"));
    escaped("the kernel keeps accounts in our file");
}
