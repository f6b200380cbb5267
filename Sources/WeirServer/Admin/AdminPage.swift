/// The page for people at `/`: where to look.
enum AdminPage {
    static let html = """
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>weir</title>
        <style>
          :root { color-scheme: light dark }
          body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
          pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .25rem }
        </style>
        <h1>weir</h1>
        <p>An xDS relay. JSON by default; add <code>?format=text</code> for a table.</p>
        <ul>
          <li><a href="/ready">/ready</a>, <a href="/live">/live</a>: probes</li>
          <li><a href="/server_info">/server_info</a>: version, state, uptime</li>
          <li><a href="/keys?format=text">/keys</a>: groups, what they hold, who follows</li>
          <li><a href="/clients?format=text">/clients</a>: streams, what they subscribed to, sent and acknowledged</li>
          <li><a href="/upstreams?format=text">/upstreams</a>: servers and their state</li>
          <li><a href="/config_dump">/config_dump</a>: resources (filters: key, type, name)</li>
          <li><a href="/metrics">/metrics</a>: Prometheus</li>
          <li><a href="/logging">/logging</a>: log level (POST ?level= sets it)</li>
        </ul>
        <h2>Keys</h2><pre id="keys">...</pre>
        <h2>Upstreams</h2><pre id="upstreams">...</pre>
        <script>
          async function show(name) {
            const answer = await fetch('/' + name + '?format=text');
            document.getElementById(name).textContent = await answer.text();
          }
          function refresh() { show('keys'); show('upstreams'); }
          refresh();
          setInterval(refresh, 2000);
        </script>
        </html>

        """
}
