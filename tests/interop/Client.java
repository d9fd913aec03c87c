import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Cases of Java's HttpClient as it comes, which offers `Upgrade: h2c`: java Client.java BASE CASE.
 * Prints `passed`, or a line for each event; ends with another code than 0 if it does not pass.
 */
class Client {
    static final HttpClient HTTP = HttpClient.newHttpClient();
    static final byte[] DATA = new byte[1_000_000];
    static String base;

    public static void main(String[] arguments) throws Exception {
        base = arguments[0];
        new Random().nextBytes(DATA);
        switch (arguments[1]) {
            case "get" -> get();
            case "echo" -> echo(BodyPublishers.ofByteArray(DATA), false);
            case "streamed" ->
                echo(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(DATA)), false);
            case "expectContinue" -> echo(BodyPublishers.ofByteArray(DATA), true);
            case "concurrent" -> concurrent();
            case "early413" -> early();
            case "events" -> events();
            case "webSocket" -> webSocket();
            default -> throw new IllegalArgumentException(arguments[1]);
        }
        System.out.println("passed");
        System.exit(0);
    }

    static HttpRequest.Builder request(String path) {
        return HttpRequest.newBuilder(URI.create(base + path)).timeout(Duration.ofSeconds(100));
    }

    static void get() throws Exception {
        var answer = HTTP.send(request("/hello").build(), BodyHandlers.ofString());
        check(answer.statusCode() == 200 && answer.body().equals("hello"), answer);
    }

    static void echo(HttpRequest.BodyPublisher body, boolean expect) throws Exception {
        var asked = request("/echo").POST(body).expectContinue(expect).build();
        var answer = HTTP.send(asked, BodyHandlers.ofByteArray());
        check(Arrays.equals(answer.body(), DATA), answer);
    }

    static void concurrent() {
        var asked = new CompletableFuture<?>[50];
        for (int at = 0; at < asked.length; at++) {
            asked[at] = HTTP.sendAsync(request("/hello").build(), BodyHandlers.ofString())
                .thenAccept(answer -> check(answer.body().equals("hello"), answer));
        }
        CompletableFuture.allOf(asked).join();
    }

    static void early() throws Exception {
        var asked = request("/large").POST(BodyPublishers.ofByteArray(new byte[20_000_000]));
        var answer = HTTP.send(asked.build(), BodyHandlers.ofString());
        check(answer.statusCode() == 413, answer);
    }

    static void events() throws Exception {
        var answer = HTTP.send(request("/events").build(), BodyHandlers.ofLines());
        answer.body().filter(line -> !line.isEmpty()).forEach(System.out::println);
    }

    static void webSocket() throws Exception {
        var heard = new Heard();
        var socket = HTTP.newWebSocketBuilder().subprotocols("chat.v1")
            .buildAsync(URI.create(base.replace("http", "ws") + "/talk"), heard).get();
        check(socket.getSubprotocol().equals("chat.v1"), socket.getSubprotocol());
        socket.sendText("text", true).get();
        check(heard.next().equals("text"), "the text");
        socket.sendBinary(ByteBuffer.wrap(DATA), true).get();
        for (int at = 0; at < DATA.length;) {
            var part = (ByteBuffer) heard.next();
            byte[] bytes = new byte[part.remaining()];
            part.get(bytes);
            check(Arrays.equals(bytes, Arrays.copyOfRange(DATA, at, at + bytes.length)), at);
            at += bytes.length;
        }
        socket.sendPing(ByteBuffer.wrap(new byte[] {1})).get();
        check(heard.next().equals("pong"), "the pong");
        socket.sendText("close", true).get();
        check(heard.next().equals("4002 as asked"), "the close code");
    }

    /** What a socket brings, one after the other. */
    static class Heard implements WebSocket.Listener {
        private final BlockingQueue<Object> all = new LinkedBlockingQueue<>();

        Object next() throws InterruptedException {
            return all.poll(100, TimeUnit.SECONDS);
        }

        @Override
        public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
            return heard(socket, text.toString());
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
            // The buffer may be used again once this has returned.
            var copy = ByteBuffer.allocate(data.remaining());
            copy.put(data).flip();
            return heard(socket, copy);
        }

        @Override
        public CompletionStage<?> onPong(WebSocket socket, ByteBuffer data) {
            return heard(socket, "pong");
        }

        @Override
        public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            return heard(socket, code + " " + reason);
        }

        private CompletionStage<?> heard(WebSocket socket, Object what) {
            all.add(what);
            socket.request(1);
            return null;
        }
    }

    static void check(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(String.valueOf(what));
        }
    }
}
