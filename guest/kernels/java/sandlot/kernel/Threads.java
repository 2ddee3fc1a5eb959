package sandlot.kernel;

/** The kernel's own threads, in a group of their own. */
final class Threads {
    static final ThreadGroup GROUP = new ThreadGroup("sandlot");

    private Threads() {}

    static Thread start(String name, Runnable work) {
        Thread thread = new Thread(GROUP, work, "sandlot-" + name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    static void sleep(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException error) {
            // early, then
        }
    }

    /** {@code wait()}, for whoever holds the lock and looks again. */
    static void await(Object lock) {
        try {
            lock.wait();
        } catch (InterruptedException error) {
            // look again, then
        }
    }
}
