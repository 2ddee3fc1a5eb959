package sandlot.kernel;

import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.UUID;

/**
 * Everything that a run tells the host, in the order in which it happened; the same rules as in
 * {@code ../python/sandlot_kernel/outlet.py}: output is gathered for {@code BATCH_MS}, and between runs the newest
 * {@code BACKLOG} characters are kept for the next one.
 */
final class Outlet {
    private static final int BATCH_MS = 20;
    private static final int BATCH_SIZE = 64 * 1024;
    private static final int BACKLOG = 256 * 1024;

    private record Piece(String stream, StringBuilder text) {}

    private final FileOutputStream events;
    private final Pump[] pumps;
    private final Deque<Piece> pieces = new ArrayDeque<>();
    private int size;
    private int dropped;
    private String run;

    Outlet() throws IOException {
        events = new FileOutputStream(Descriptors.of(4));
        pumps = new Pump[] {new Pump("stdout", 6, 8), new Pump("stderr", 7, 9)};
        for (Pump pump : pumps) Threads.start("output", pump);
        Threads.start("batches", this::sendBatches);
    }

    synchronized void begin(String id) {
        run = id;
        if (dropped > 0) {
            String note = "[" + dropped + " characters written between runs were dropped]\n";
            pieces.addFirst(new Piece("stderr", new StringBuilder(note)));
            dropped = 0;
        }
        notifyAll();
    }

    /** An event that is not text, after all text so far. */
    void send(Map<String, Object> event) {
        settle();
        synchronized (this) {
            if (run == null) return; // shown between runs: there is nobody to show it to
            flush();
            write(event);
        }
    }

    /** The last event of the run. */
    void end(Map<String, Object> event) {
        send(event);
        synchronized (this) {
            run = null;
        }
    }

    /** An event outside any run. */
    synchronized void answer(Map<String, Object> event) {
        put(event);
    }

    /** Until everything that has been written to the pipes before is here. */
    private void settle() {
        for (Pump pump : pumps) pump.settle();
    }

    private synchronized void add(String stream, String text) {
        if (pieces.isEmpty() || !pieces.getLast().stream().equals(stream)) {
            pieces.addLast(new Piece(stream, new StringBuilder()));
        }
        pieces.getLast().text().append(text);
        size += text.length();
        if (run == null) dropOldest();
        else if (size >= BATCH_SIZE) flush();
        else notifyAll();
    }

    private void dropOldest() {
        while (size > BACKLOG) {
            StringBuilder oldest = pieces.getFirst().text();
            int excess = Math.min(size - BACKLOG / 2, oldest.length());
            oldest.delete(0, excess);
            if (oldest.isEmpty()) pieces.removeFirst();
            size -= excess;
            dropped += excess;
        }
    }

    private void flush() {
        for (Piece piece : pieces) {
            Map<String, Object> event = new LinkedHashMap<>();
            event.put("type", piece.stream());
            event.put("text", piece.text());
            write(event);
        }
        pieces.clear();
        size = 0;
    }

    private void write(Map<String, Object> event) {
        event.put("id", run);
        put(event);
    }

    private void put(Map<String, Object> event) {
        try {
            events.write((Json.write(event) + "\n").getBytes(StandardCharsets.UTF_8));
        } catch (IOException error) {
            System.exit(1); // the host is gone
        }
    }

    private void sendBatches() {
        while (true) {
            synchronized (this) {
                while (run == null || pieces.isEmpty()) Threads.await(this);
            }
            Threads.sleep(BATCH_MS);
            synchronized (this) {
                if (run != null) flush();
            }
        }
    }

    /** Reads one pipe. A mark that is written to it comes out after all that was written before. */
    private final class Pump implements Runnable {
        private final String stream;
        private final FileInputStream source;
        private final FileOutputStream sink;
        private final byte[] mark = ("\0" + UUID.randomUUID() + "\0").getBytes(StandardCharsets.US_ASCII);
        private final CharsetDecoder decoder =
                StandardCharsets.UTF_8
                        .newDecoder()
                        .onMalformedInput(CodingErrorAction.REPLACE)
                        .onUnmappableCharacter(CodingErrorAction.REPLACE);
        private byte[] rest = new byte[0]; // not decoded yet
        private int marks;

        Pump(String stream, int from, int to) throws IOException {
            this.stream = stream;
            source = new FileInputStream(Descriptors.of(from));
            sink = new FileOutputStream(Descriptors.of(to));
        }

        void settle() {
            int seen;
            synchronized (this) {
                seen = marks;
            }
            try {
                sink.write(mark);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            synchronized (this) {
                while (marks == seen) Threads.await(this);
            }
        }

        @Override
        public void run() {
            byte[] buffer = new byte[64 * 1024];
            try {
                for (int length; (length = source.read(buffer)) >= 0; ) take(buffer, length);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private void take(byte[] buffer, int length) {
            byte[] data = Arrays.copyOf(rest, rest.length + length);
            System.arraycopy(buffer, 0, data, rest.length, length);
            int start = 0;
            for (int end; (end = find(data, start)) >= 0; start = end + mark.length) {
                pass(data, start, end, true);
                marked();
            }
            int kept = unfinished(data, start);
            rest = Arrays.copyOfRange(data, pass(data, start, data.length - kept, false), data.length);
        }

        private synchronized void marked() {
            marks++;
            notifyAll();
        }

        /** Where what could not be decoded begins. */
        private int pass(byte[] data, int start, int end, boolean all) {
            ByteBuffer bytes = ByteBuffer.wrap(data, start, end - start);
            CharBuffer chars = CharBuffer.allocate(end - start + 2);
            decoder.reset();
            decoder.decode(bytes, chars, all);
            if (all) decoder.flush(chars);
            if (chars.position() > 0) add(stream, chars.flip().toString());
            return bytes.position();
        }

        private int find(byte[] data, int start) {
            for (int i = start; i + mark.length <= data.length; i++) {
                if (data[i] == 0 && Arrays.equals(data, i, i + mark.length, mark, 0, mark.length)) return i;
            }
            return -1;
        }

        /** How many bytes at the end may be the beginning of a mark. */
        private int unfinished(byte[] data, int start) {
            for (int i = Math.max(start, data.length - mark.length + 1); i < data.length; i++) {
                if (Arrays.equals(data, i, data.length, mark, 0, data.length - i)) return data.length - i;
            }
            return 0;
        }
    }
}
