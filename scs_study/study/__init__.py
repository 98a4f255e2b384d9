"""Many runs: which cells a study has, who works on which, and where each stands."""
