"""The texts of the long prompts of generative selectors. `prompts.py` fills them in and reads the replies.

Fields in braces are those of `str.format`. Indices are 0-based.

Sources: GENSELECT_MATH is NeMo-Skills `prompt/config/openmath/genselect.yaml` (arXiv 2504.16891, appendix; 2507.17797),
the judgement without brackets; USC is figure 6 of arXiv 2311.17311; POINTWISE the yes/no verification of arXiv
2408.15240 in the wording of 2504.01005; SUMMARY is of arXiv 2504.16891. GENSELECT_CODE and PAIRWISE are ours.
"""

GENSELECT_MATH = """\
You will be given a challenging math problem followed by {count} solutions. Your task is to systematically analyze \
these solutions to identify the most mathematically sound approach.

Input Format:
Problem: A complex mathematical word problem at advanced high school or college level
Solutions: Detailed solutions indexed 0-{last}, each concluding with an answer in \\boxed{{}} notation

YOUR TASK

Problem: {problem}

Solutions:
{solutions}

Evaluation Process:

1. Initial Screening
  - Group solutions by their final answers
  - Identify and explain mathematical contradictions between different answers
  - Eliminate solutions with clear mathematical errors

2. Detailed Analysis
  For remaining solutions, evaluate:
  - Mathematical precision and accuracy
  - Logical progression of steps
  - Completeness of mathematical reasoning
  - Proper use of mathematical notation, including \\boxed{{}}
  - Handling of edge cases or special conditions
  - For solutions containing and addressing errors, evaluate the error identification and correction methodology.

3. Solution Comparison
  Compare viable solutions based on:
  - Efficiency of approach
  - Clarity of mathematical reasoning
  - Sophistication of method
  - Robustness of solution (works for all cases)

Your response should include:
1. Brief analysis of conflicting answers
2. Detailed evaluation of mathematically sound solutions
3. Justification for eliminating incorrect solutions
4. Clear explanation for selecting the best approach

End your evaluation with exactly:
Judgment: IDX
where IDX is the index 0-{last} of the best solution."""

GENSELECT_CODE = """\
You will be given a challenging programming problem followed by {count} solutions. Your task is to systematically \
analyze these solutions to identify the one that is most likely correct on every input the problem allows.

Problem: {problem}

Solutions (code, indexed 0-{last}):
{solutions}

Evaluation Process:

1. Initial Screening
  - Group solutions by their algorithm
  - Trace each on the examples of the problem and on small inputs of your own
  - Eliminate solutions with clear errors

2. Detailed Analysis
  For remaining solutions, evaluate:
  - Correctness for edge cases and the largest inputs
  - Running time and memory within the limits
  - Input and output exactly as the problem states them

3. Solution Comparison
  Where two solutions would print different things, find out which one is right

End your evaluation with exactly:
Judgment: IDX
where IDX is the index 0-{last} of the best solution."""

USC = """\
I have generated the following responses to the question: {problem}

{responses}

Evaluate these responses.
Select the most consistent response based on majority consensus.
Start your answer with "The most consistent response is Response X" (without quotes)."""

PAIRWISE = """\
You will be given a problem and two candidate solutions, indexed 0 and 1. Check each one step by step, say where they \
differ, and decide which one is more likely right.

Problem: {problem}

{solutions}

End your evaluation with exactly one of these lines:
Judgment: 0
Judgment: 1
Judgment: tie"""

POINTWISE = """\
You are a {role} teacher. Grade the solution, verifying correctness step by step.
At the end of the solution verification, when you give your final grade, write it in the form \
"Verification: Is the answer correct (Yes/No)? X", where X is either Yes or No.

Problem: {problem}

Solution: {solution}"""

SUMMARY = """\
I will give you a problem and a long solution to that problem, exploring different approaches, making mistakes along \
the way, correcting them, switching around, and so on. But eventually, that solution gets to an approach and an \
answer. Your task is to write a clean version of the final solution without all the exploration. Cover all the details \
of the final solution and keep its final answer as it is.

Problem:
{problem}

Solution:
{solution}

Now write a clean version of the final solution without all the exploration but cover all the details of the final \
solution."""
