from arco.demo.site import server_environment


def test_the_child_inherits_no_setting_of_arco(tmp_path):
    environ = {"PATH": "/bin", "PORT": "1", "ARCO_JWT_SECRET": "s", "ARCO_STORAGE_BUCKET": "gs://mine"}
    child = server_environment(environ, tmp_path, 9000)
    assert child == {
        "PATH": "/bin",
        "ARCO_STORAGE_BUCKET": f"file://{tmp_path}",
        "ARCO_HOST": "127.0.0.1",
        "ARCO_HTTP_PORT": "9000",
        "ARCO_COMPACTOR_PORT": "0",
        "ARCO_FLOW_COMPACTOR_PORT": "0",
        "ARCO_FLOW_DISPATCHER_PORT": "0",
        "ARCO_FLOW_SWEEPER_PORT": "0",
    }
