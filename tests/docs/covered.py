"""Which test runs which command of the documentation. A pattern must match the whole command."""

WORKFLOW = "tests/pipelines/test_workflow.py"
TOOLS = "tests/pipelines/test_tools.py"
VIZ = "tests/pipelines/test_viz.py"
SCORE = "tests/evaluation/test_score.py"
FEATURES = "tests/pipelines/test_features_environment.py"
FOLDER = "tests/pipelines/test_folder_environment.py"
AFFWILD2 = "tests/pipelines/test_affwild2_environment.py"
CHALLENGE = "tests/pipelines/test_challenge.py"
CLUSTER = "tests/engine/test_engine_cluster.py"
DVC = "tests/dvc/test_dvc_use.py"
PARAMS = r'( --params "?\S+"?)?'

# Run unchanged by tests/docs/test_commands.py in a finished project: cheap, and without side effects.
RUN = {
    "python -m iaca.encoders": "mini_xception",
    "kedro registry list": "evaluation",
    "python -m iaca.corpora.synthetic --help": "--lip-sync",
    "python -m iaca.training.export --help": "--format",
}

COVERED = {
    r"kedro run": f"{WORKFLOW}::test_every_clip_of_the_corpus_arrives_at_the_end",
    r"kedro run --pipelines (ingestion|preprocessing|embedding)": f"{WORKFLOW}::"
    "test_an_up_to_date_corpus_is_not_made_again",
    r"kedro run --pipelines? (training|evaluation|training,evaluation)" + PARAMS: f"{WORKFLOW}::"
    "test_training_again_gives_the_same_bits_and_old_models_come_back",
    r"kedro run --pipelines evaluation --load-versions model:\S+": f"{WORKFLOW}::"
    "test_training_again_gives_the_same_bits_and_old_models_come_back",
    r"kedro run --params \"?(embedding|training|fusion|faces)\S+": f"{WORKFLOW}::"
    "test_a_typo_in_a_parameter_is_refused_before_anything_runs",
    r"kedro run --pipelines inference" + PARAMS: "tests/pipelines/test_inference_pipeline.py::"
    "test_a_broken_video_costs_only_itself_and_a_rerun_does_only_what_is_new",
    r"kedro run --pipelines benchmark" + PARAMS: "tests/pipelines/test_benchmark_pipeline.py::"
    "test_the_command_makes_the_promised_files_and_does_nothing_twice",
    r"kedro run --env features --params \"?ingestion.root=ROOT,fusion.tasks=\S+": f"{CHALLENGE}::"
    "test_the_page_leads_from_the_download_to_a_checked_submission_of_every_track",
    r"python -m iaca.evaluation.multitask \S+ --labels \S+ --out \S+": f"{CHALLENGE}::"
    "test_the_page_leads_from_the_download_to_a_checked_submission_of_every_track",
    r"python -m iaca.evaluation.submission \S+ \S+ \S+ --choices \S+": f"{CHALLENGE}::"
    "test_the_page_leads_from_the_download_to_a_checked_submission_of_every_track",
    r"kedro run --env features" + PARAMS: f"{FEATURES}::"
    "test_features_become_a_report_and_a_broken_clip_costs_only_itself",
    r"kedro run --env features --pipelines ingestion" + PARAMS: f"{FEATURES}::"
    "test_a_second_run_reads_only_what_has_changed_and_a_typo_is_refused",
    r"kedro run --env features --pipelines benchmark" + PARAMS: f"{FEATURES}::"
    "test_the_benchmark_begins_at_the_corpus_and_makes_only_what_is_missing",
    r"kedro run --env folder( --pipelines ingestion)?" + PARAMS: f"{FOLDER}::"
    "test_videos_are_summarised_and_a_subject_in_two_partitions_stops_the_run",
    r"kedro run --env folder --pipelines benchmark" + PARAMS: f"{FOLDER}::"
    "test_the_way_from_videos_to_the_report_is_the_usual_one_in_folders_of_its_own",
    r"kedro run --env folder --pipelines adaptation" + PARAMS: "tests/pipelines/test_inference_pipeline.py::"
    "test_a_few_annotated_clips_adapt_the_heuristic_and_predict_under_its_name",
    r"python -m iaca.corpora.raters (gold|import|export) \S+.*": "tests/corpora/test_raters.py::"
    "test_traces_of_other_programs_come_and_go_by_command",
    r"python -m iaca.web --annotations FOLDER": "tests/web/test_annotate.py::"
    "test_a_folder_of_the_user_stays_and_its_videos_are_not_removed",
    r"python -m iaca.web( --.*)?": "tests/web/test_page.py::"
    "test_a_dropped_video_gets_an_overlay_traces_tied_to_it_and_a_table",
    r"kedro run --env causal" + PARAMS: "tests/pipelines/test_causal_environment.py::"
    "test_the_environment_makes_a_model_that_runs_live",
    r"python -m iaca.live --(file \S+|camera 0 --microphone default)": "tests/test_live.py::"
    "test_a_file_is_played_and_its_rows_are_those_of_the_recording",
    r"python -m iaca.evaluation.score \S+ \S+( [\[-].*)?": f"{SCORE}::"
    "test_the_command_prints_the_headline_and_the_rest_beside_it",
    r"kedro run --env affwild2( --pipelines (ingestion|preprocessing|embedding))?" + PARAMS: f"{AFFWILD2}::"
    "test_the_download_becomes_embeddings_and_what_does_not_fit_is_told",
    r"kedro run --env cluster" + PARAMS: "tests/pipelines/test_executor_setting.py::"
    "test_every_folder_of_clips_has_the_executor_of_its_environment_or_run",
    r"kedro viz run( --env \w+)?": f"{VIZ}::test_it_serves_every_pipeline_layer_and_preview",
    r"kedro viz build --include-previews": f"{VIZ}::test_the_static_page_that_it_builds_opens_without_its_server",
    r"kedro jupyter notebook": f"{TOOLS}::test_kedro_jupyter_notebook_serves_the_notebooks",
    r"dvc repro( \w+)?": "tests/dvc/test_dvc_repro.py::test_every_stage_is_run_once",
    r"dvc (push|pull)|dvc remote add \S.*": f"{DVC}::test_what_was_pushed_is_pulled_elsewhere_and_nothing_is_run_again",
    r"dvc exp run .*|dvc status": f"{DVC}::"
    "test_an_experiment_runs_what_hangs_on_its_parameter_and_keeps_the_older_model",
    r"dvc exp show.*|dvc metrics (show|diff).*|dvc params diff.*": f"{DVC}::"
    "test_experiments_stand_side_by_side_with_what_they_changed",
    r"dvc plots diff.*": f"{DVC}::test_pictures_are_compared_on_a_page_that_needs_no_network",
    r"dvc artifacts get .*|git tag .*": f"{DVC}::test_the_model_is_got_by_its_name_where_git_has_a_tag_for_it",
    r"git (add|commit|clone) .*": f"{DVC}::test_what_was_pushed_is_pulled_elsewhere_and_nothing_is_run_again",
    r"python -m iaca.corpora.synthetic \S+( --.*)?": "tests/corpora/test_synthetic.py::"
    "test_the_command_takes_every_parameter_and_refuses_a_wrong_one",
    r"python -m iaca.corpora.convert \w+ SOURCE ROOT( --.*)?": "tests/corpora/test_convert.py::"
    "test_the_command_says_what_comes_next_and_what_is_wrong_with_an_option",
    r"python -m iaca.evaluation.submission \S+ \S+ \S+": "tests/evaluation/test_submission.py::"
    "test_rows_are_those_of_the_list_in_its_order_with_the_value_of_their_frame",
    r"python -m iaca.training.export \S+ \S+( --format torch)?": "tests/training/test_export.py::"
    "test_the_command_writes_a_file_that_can_be_used",
    r"dask scheduler|dask worker tcp://HOST:8786 --nworkers \S+ --nthreads 1": f"{CLUSTER}::"
    "test_a_cluster_makes_the_bytes_of_a_local_run_though_a_worker_is_killed",
    r"python docs/generate_troubleshooting.py": "tests/docs/test_troubleshooting.py::"
    "test_the_page_is_the_one_that_the_source_gives",
    r"python docs/generate_licences.py": "tests/supply/test_licences.py::"
    "test_the_page_is_the_one_that_the_metadata_give",
    r"make docs": "tests/docs/test_site.py::test_the_site_is_built_without_a_warning_and_needs_no_network",
}
