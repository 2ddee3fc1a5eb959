package sandlot.kernel;

import java.io.FileDescriptor;
import java.lang.reflect.Constructor;

/** The descriptors that {@code ../pipes.pl} hands over ({@code --add-opens java.base/java.io}). */
final class Descriptors {
    private Descriptors() {}

    static FileDescriptor of(int number) {
        try {
            Constructor<FileDescriptor> make = FileDescriptor.class.getDeclaredConstructor(int.class);
            make.setAccessible(true);
            return make.newInstance(number);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }
}
