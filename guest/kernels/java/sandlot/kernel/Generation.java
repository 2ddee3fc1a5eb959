package sandlot.kernel;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/**
 * Whether this memory has come back from a snapshot: two sandboxes may have it then, with the same random numbers to
 * come. The file is kept open: what is read before each run must cost next to nothing.
 */
final class Generation {
    private static final Path PATH = Path.of("/run/sandlot/generation"); // what it holds rises with each restore

    private final FileChannel file = open();
    private ByteBuffer known = read();

    /** Since the last time that it was asked. */
    boolean hasChanged() {
        ByteBuffer before = known;
        known = read();
        return !known.equals(before);
    }

    /** A new seed for {@code Math.random()} ({@code --add-opens java.base/java.lang}); those of others stay as they are. */
    static void reseed() {
        try (InputStream source = Files.newInputStream(Path.of("/dev/urandom"))) {
            Class<?> holder = Class.forName("java.lang.Math$RandomNumberGeneratorHolder");
            Field field = holder.getDeclaredField("randomNumberGenerator");
            field.setAccessible(true);
            ((Random) field.get(null)).setSeed(ByteBuffer.wrap(source.readNBytes(Long.BYTES)).getLong());
        } catch (IOException | ReflectiveOperationException | RuntimeException error) {
            // a Java that does it otherwise
        }
    }

    private static FileChannel open() {
        try {
            return FileChannel.open(PATH);
        } catch (IOException error) {
            return null; // the guest agent is one of before, or there is none
        }
    }

    private ByteBuffer read() {
        ByteBuffer text = ByteBuffer.allocate(32);
        try {
            if (file != null) file.read(text, 0);
        } catch (IOException error) {
            text.clear();
        }
        return text.flip();
    }
}
