package sandlot.kernel;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What user code has left behind that goes on by itself. The host lets a sandbox stand still whose processes only wait
 * for it, so what cannot be told counts as at work.
 */
final class Activity {
    private static final Set<String> RESTS =
            Set.of("java.util.concurrent.ThreadPoolExecutor.getTask", "java.util.concurrent.ForkJoinPool.awaitWork");
    private static final String DELAYED = "java.util.concurrent.ScheduledThreadPoolExecutor$DelayedWorkQueue";

    private final Set<Thread> own;
    private final Set<String> ownSockets;

    /** To be made before any user code has run. */
    Activity() throws IOException {
        FileChannel.open(Path.of("/dev/null")).close(); // for which Java keeps a socket from then on
        own = Set.copyOf(Thread.getAllStackTraces().keySet());
        ownSockets = sockets();
    }

    /** In words; nothing where nothing goes on. */
    List<Object> reasons() {
        List<Object> reasons = new ArrayList<>();
        for (Map.Entry<Thread, StackTraceElement[]> entry : Thread.getAllStackTraces().entrySet()) {
            Thread thread = entry.getKey();
            if (!isOwn(thread) && !isResting(thread, entry.getValue())) reasons.add("thread " + thread.getName());
        }
        for (String socket : sockets()) {
            if (!ownSockets.contains(socket)) reasons.add(socket);
        }
        return reasons.subList(0, Math.min(reasons.size(), 16));
    }

    private boolean isOwn(Thread thread) {
        if (own.contains(thread) || thread == Thread.currentThread()) return true;
        ThreadGroup group = thread.getThreadGroup();
        if (group == null || group == Threads.GROUP) return true; // has ended, or ours
        return group.getName().equals("system");
    }

    /** Workers of an executor that wait for work; one that waits for a point in time has some. */
    private static boolean isResting(Thread thread, StackTraceElement[] stack) {
        boolean waitsForWork = false;
        for (StackTraceElement frame : stack) {
            if (frame.getClassName().equals(DELAYED) && thread.getState() == Thread.State.TIMED_WAITING) return false;
            waitsForWork |= RESTS.contains(frame.getClassName() + "." + frame.getMethodName());
        }
        return waitsForWork;
    }

    private static Set<String> sockets() {
        Set<String> found = new HashSet<>();
        try (DirectoryStream<Path> open = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path path : open) {
                String target = target(path);
                if (target.startsWith("socket:")) found.add(target);
            }
        } catch (IOException error) {
            found.add("/proc cannot be read");
        }
        return found;
    }

    private static String target(Path link) {
        try {
            return Files.readSymbolicLink(link).toString();
        } catch (IOException error) {
            return ""; // closed meanwhile, as the listing's own is
        }
    }
}
