"""The command that submits to Kubeflow Pipelines. Nothing here imports TensorFlow, TFX or KFP at the top."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from pipeline.base.exit_code import (
    EXIT_INTERRUPTED,
    EXIT_INVALID,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
    EXIT_UNWATCHED,
)

_EXIT_CODES = f"""\b
Exit codes:
  {EXIT_PUSHED}    the run is started; with --wait: every task succeeded
  {EXIT_INVALID}    invalid input, or the server cannot be reached or refuses; no run was started
  {EXIT_NODE_FAILED}    --wait: a task failed, or the run was canceled
  {EXIT_NONE_PASSED}    --wait: every task succeeded, but no candidate passed the gate (see below)
  {EXIT_UNWATCHED}    the run is started, but its end is not known: --timeout is over, or contact is lost
  {EXIT_INTERRUPTED}  interrupted; with --wait, the run goes on

KFP's API tells of a task whether it succeeded, and not what it found. Whether a candidate passed is read in
the log of the pusher, where the server gives logs and the pusher was not taken from the cache; else the
exit code is {EXIT_PUSHED} and a line says that it is not known.

\b
Signing in, in the ways of KFP's client:
  --token-file, or PAREDOWN_KFP_TOKEN             a token: kubectl create token …, gcloud auth print-…
  --cookies-file, or PAREDOWN_KFP_COOKIES         what a browser has: authservice_session=…
  --service-account-token                         inside a pod of the cluster
  --client-id                                     Google's Identity-Aware Proxy, by service account or
                                                  by user (with --other-client-id)
  KF_PIPELINES_ENDPOINT, KF_PIPELINES_UI_ENDPOINT, KF_PIPELINES_SA_TOKEN_PATH,
  KF_PIPELINES_IAP_OAUTH2_CLIENT_ID, KF_PIPELINES_APP_OAUTH2_CLIENT_ID, …_CLIENT_SECRET,
  KF_PIPELINES_DEFAULT_EXPERIMENT_NAME and KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME count as well."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """Seconds of `90`, `30m`, `2h`, `1d`."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if not match or not float(match[1]):
        raise click.BadParameter(f"{text!r} is no time; write e.g. 90s, 30m or 12h", context, option)
    return float(match[1]) * _UNITS[match[2]]


@click.command(epilog=_EXIT_CODES)
@click.argument("source", metavar="CONFIG|FILE", type=click.Path(path_type=Path))
@click.option(
    "--host",
    metavar="URL",
    help="Address of Kubeflow Pipelines: http://localhost:8080 of a port-forward, or https://…/pipeline of a "
    "dashboard; the cluster around, or kubectl's context, where it is not given.  [env: KF_PIPELINES_ENDPOINT]",
)
@click.option("--image", help="CONFIG: container image of the tasks, as in `compile`.")
@click.option(
    "--pipeline-root",
    metavar="URI",
    help="Where artifacts go. CONFIG: as in `compile`; FILE: in place of its own.",
)
@click.option("--experiment", help="Created where there is none.  [the pipeline's name]")
@click.option("--run-name", help="As it is shown.  [the pipeline's name and the time]")
@click.option("--namespace", help="Where Kubeflow has several users: the name of your profile.")
@click.option(
    "--param",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of the run, e.g. --param seed=7 or --param data_path=gs://bucket/mnist.",
)
@click.option(
    "--data",
    metavar="FOLDER",
    help="Files here that are those of data_path there: their fingerprint tells KFP's cache whether they "
    "changed.  [CONFIG: its data.path; FILE: data_path, where that is a folder here]",
)
@click.option("--service-account", metavar="NAME", help="Of Kubernetes, which the tasks run as.")
@click.option("--wait", is_flag=True, help="Follow the run to its end, and exit as `run` does.")
@click.option(
    "--timeout",
    metavar="TIME",
    callback=_duration,
    help="--wait: so long at most: 90s, 30m, 12h. The run goes on.",
)
@click.option(
    "--poll-interval",
    metavar="TIME",
    callback=_duration,
    default="10s",
    help="--wait: between looks.  [10s]",
)
@click.option(
    "--token-file", metavar="FILE", help="File with a token.  [env: PAREDOWN_KFP_TOKEN, the token]"
)
@click.option(
    "--cookies-file", metavar="FILE", help="File with cookies.  [env: PAREDOWN_KFP_COOKIES, the cookies]"
)
@click.option(
    "--service-account-token",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Token that Kubernetes keeps fresh in a pod; KFP's usual place where FILE is left out.",
)
@click.option("--client-id", help="OAuth client id of an Identity-Aware Proxy.")
@click.option("--other-client-id", help="OAuth client id of a desktop application, to sign in as a user.")
@click.option("--ui-host", metavar="URL", help="Address of the user interface, where it is not --host.")
@click.option("--kube-context", metavar="NAME", help="Without --host: kubectl's context.")
@click.option(
    "--ca-cert", type=click.Path(exists=True, dir_okay=False), help="Certificates of authorities to trust."
)
@click.option("--insecure", is_flag=True, help="Trust any certificate.")
@click.option("--proxy", metavar="URL", help="HTTP proxy.")
@click.option(
    "--request-timeout", metavar="TIME", callback=_duration, default="60s", help="Of each request.  [60s]"
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="CONFIG: override a key of it."
)
@click.option("--only", multiple=True, metavar="CANDIDATE", help="CONFIG: leave out all other candidates.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts to read.")
def submit(
    source: Path,
    host: str | None,
    image: str | None,
    pipeline_root: str | None,
    experiment: str | None,
    run_name: str | None,
    namespace: str | None,
    parameters: tuple[str, ...],
    data: str | None,
    service_account: str | None,
    wait: bool,
    timeout: float | None,
    poll_interval: float,
    token_file: str | None,
    cookies_file: str | None,
    service_account_token: str | None,
    client_id: str | None,
    other_client_id: str | None,
    ui_host: str | None,
    kube_context: str | None,
    ca_cert: str | None,
    insecure: bool,
    proxy: str | None,
    request_timeout: float,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    as_json: bool,
) -> None:
    """Start a run on Kubeflow Pipelines, and follow it with --wait.

    A CONFIG is compiled first, which needs --image and --pipeline-root; a FILE is what `compile` wrote. The
    pipeline gets a version named after its content, so that the same thing submitted twice is one version with
    two runs. The fingerprint of the data as they are now goes with each run, so that KFP's cache knows when
    they changed. Prints the run's address.

    \b
    Examples:
      kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80 &
      paredown submit mnist.yaml --host http://localhost:8080 --wait
      paredown submit configs/mnist/pipeline.yaml --host http://localhost:8080 \\
          --image registry.example.com/paredown:1 --pipeline-root minio://mlpipeline/paredown
      paredown submit mnist.yaml --host https://kubeflow.example.com/pipeline --namespace team-a \\
          --token-file ~/.kfp-token --param seed=7 --json | jq -r .run.page
    """
    from components.common.base.errors import ParedownError
    from pipeline.cli.checked_config import load_checked
    from pipeline.cli.refusal import refuse
    from pipeline.config.problem import ConfigError, Problem
    from pipeline.kubeflow import submit as submit_command
    from pipeline.kubeflow.connection import Connection

    connection = Connection(
        host=host,
        ui_host=ui_host,
        token_file=token_file,
        cookies_file=cookies_file,
        service_account_token=service_account_token,
        client_id=client_id,
        other_client_id=other_client_id,
        ca_cert=ca_cert,
        verify_tls=not insecure,
        proxy=proxy,
        kube_context=kube_context,
        timeout=request_timeout,
    )
    request = submit_command.Request(
        source=source,
        connection=connection,
        image=image,
        pipeline_root=pipeline_root,
        experiment=experiment,
        run_name=run_name,
        namespace=namespace,
        parameters=parameters,
        data=data,
        service_account=service_account,
        wait=wait,
        limit=timeout,
        tick=poll_interval,
        overrides=overrides,
        only=only,
        as_json=as_json,
    )
    try:
        report = submit_command.submit(
            request, lambda candidates: load_checked(source, overrides, candidates, as_json)
        )
    except ConfigError as error:
        refuse(error.problems, as_json)
    except ParedownError as error:
        refuse([Problem(str(error))], as_json)
    if report.message:
        click.echo(report.message, err=True)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    sys.exit(report.code)


COMMANDS = (submit,)
